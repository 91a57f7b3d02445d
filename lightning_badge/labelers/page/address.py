"""Where the page is served: host, port, and the token that admits people; stable over restarts."""

import contextlib
import errno
import hashlib
import ipaddress
import json
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labelers.page.page_files import page_path

DEFAULT_PORT = 8765
WRITTEN = ("token", "address.json")  # by the one process that holds the lock of the server
_PORTS_TRIED = 100
_PRIVATE = 0o600
_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,200}")
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Address:
    """Where people open the page.

    Attributes:
        host: What the server binds to.
        port: Its port.
        token: Admits people.
        is_encrypted: Whether the server itself speaks TLS.
        proxy: The address of a proxy that people open instead; None without one.
    """

    host: str
    port: int
    token: str
    is_encrypted: bool = False
    proxy: str | None = None

    @property
    def origin(self) -> str:
        """The address without path."""
        if self.proxy is not None:
            parts = urlsplit(self.proxy)
            return f"{parts.scheme}://{parts.netloc}"
        scheme = "https" if self.is_encrypted else "http"
        return f"{scheme}://{_in_url(reachable_name(self.host))}:{self.port}"

    @property
    def url(self) -> str:
        """The address that people open, with the token."""
        return f"{self.origin}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers share cookies between the ports of a host."""
        return f"lightning_badge_{self.port}"

    @property
    def run_id(self) -> str:
        """Identifies the run to browsers, and does not reveal the token."""
        return hashlib.blake2b(self.token.encode(), person=b"run").hexdigest()[:16]

    def scheme_for(self, host: str) -> str | None:
        """Returns the scheme of the pages of a ``Host`` header; None if the host is foreign.

        A foreign web site can make its own name point to this machine. Names of this machine and
        numeric addresses are therefore the only ones that are answered; their port may differ,
        because people forward ports.
        """
        if self.proxy is not None:
            parts = urlsplit(self.proxy)
            return parts.scheme if host.lower() == parts.netloc.lower() else None
        name, _ = split_port(host)
        scheme = "https" if self.is_encrypted else "http"
        if name in _LOOPBACK_NAMES:
            return scheme
        if is_loopback(self.host):
            return None
        return scheme if _is_number(name) or name in _own_names() else None


def is_loopback(host: str) -> bool:
    """Returns whether only this machine reaches a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable_name(host: str) -> str:
    """Returns the name by which others reach a server that binds to ``host``."""
    try:
        is_every = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        is_every = False
    return socket.gethostname().lower() if is_every else host


def split_port(host: str) -> tuple[str, str]:
    """Returns name and port of a ``Host`` header, in lower case.

    Example:
        >>> split_port("LOCALHOST:80"), split_port("[::1]:80"), split_port("[::1]")
        (('localhost', '80'), ('[::1]', '80'), ('[::1]', ''))
    """
    name, colon, port = host.lower().rpartition(":")
    return (name, port) if colon and not port.endswith("]") else (host.lower(), "")


def token_of(run_path: Path) -> str:
    """Returns the token of a run, which is made once; only its owner can read the file.

    Raises:
        RunDirectoryError: The file cannot be read or written, or holds no token.
    """
    path = page_path(run_path) / "token"
    try:
        if not path.exists():
            with replacing(path, mode=_PRIVATE) as temporary:
                temporary.write_text(secrets.token_urlsafe(32), encoding="ascii")
        elif path.stat().st_mode & 0o077:  # copied, for example
            path.chmod(_PRIVATE)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RunDirectoryError(f"{path}: cannot be used: {error}") from error
    if not _TOKEN.fullmatch(token):
        raise RunDirectoryError(
            f"{path}: expected a token of 20 or more letters, digits, - and _; delete the file, "
            "and a new one is made"
        )
    return token


def bound_socket(run_path: Path, host: str, port: int | None) -> socket.socket:
    """Returns a socket that is bound to the port asked for, that of before, or the next free one.

    Args:
        run_path: The run directory, which keeps host and port for the next start.
        host: What to bind to.
        port: The port; None for that of before or a free one.

    Raises:
        RunDirectoryError: The port is taken, or the host is not one of this machine.
    """
    if port is not None:
        bound = _bind(host, port)
    else:
        before = _stored(run_path, host)
        first = [before] if before else []
        candidates = [*first, *range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED), 0]
        for candidate in candidates[:-1]:
            with contextlib.suppress(_TakenError):
                bound = _bind(host, candidate)
                break
        else:
            bound = _bind(host, 0)
    facts = {"host": host, "port": bound.getsockname()[1]}
    with replacing(page_path(run_path) / "address.json") as temporary:
        temporary.write_text(json.dumps(facts) + "\n", encoding="utf-8")
    return bound


class _TakenError(RunDirectoryError):
    """A port that another program has."""


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen()  # two programs may bind, but not listen
    except OSError as error:
        bound.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise _TakenError(
                f"port {port} of {host}: expected a free port, but it cannot be used "
                f"({error.strerror}); give another --port, or none for a free one"
            ) from error
        raise RunDirectoryError(
            f"--host {host}: expected an address of this machine, got {error.strerror or error}"
        ) from error
    return bound


def _stored(run_path: Path, host: str) -> int | None:
    path = page_path(run_path) / "address.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return int(facts["port"]) if facts["host"] == host else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _own_names() -> set[str]:
    return {socket.gethostname().lower(), socket.getfqdn().lower()}


def _in_url(name: str) -> str:
    return f"[{name}]" if ":" in name else name
