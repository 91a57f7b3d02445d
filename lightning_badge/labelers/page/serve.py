"""Serves the page of a run until a signal ends it."""

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from lightning_badge.durable.leftovers import sweep
from lightning_badge.durable.lock import FileLock
from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labelers.page.address import (
    WRITTEN,
    Address,
    bound_socket,
    is_loopback,
    token_of,
)
from lightning_badge.labelers.page.api import Api
from lightning_badge.labelers.page.app import make_app
from lightning_badge.labelers.page.connections import BoundedProtocol
from lightning_badge.labelers.page.page_files import is_whole, page_path
from lightning_badge.store.foreign_files import refuse_links

_AT_ONCE = 128  # connections that are accepted before any of them is bounded
_LONGEST_HEAD = 16 * 1024
_KEEP_ALIVE_S = 60
_GRACE_S = 3


@dataclass(frozen=True)
class Binding:
    """Where to serve the page.

    Attributes:
        host: What to bind to.
        port: The port; None for that of before, or a free one.
        certificate: File with the TLS certificate; None without TLS.
        key: File with its key.
        proxy: Address of the proxy that people open; None without one.
    """

    host: str = "127.0.0.1"
    port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    proxy: str | None = None

    def check(self) -> None:
        """Raises a RunDirectoryError if others could read the token on its way."""
        if (self.certificate is None) != (self.key is None):
            raise RunDirectoryError("--certfile and --keyfile: expected both or none, got one")
        for path in filter(None, (self.certificate, self.key)):
            if not path.is_file():
                raise RunDirectoryError(f"{path}: expected a file in PEM format, but there is none")
        if self.proxy is not None:
            parts = urlsplit(self.proxy)
            is_more = parts.path.strip("/") or parts.query or parts.fragment or "@" in self.proxy
            if parts.scheme not in ("http", "https") or not parts.netloc or is_more:
                # A password that it may hold is not shown.
                shown = "" if "@" in self.proxy or parts.query else f" {self.proxy}"
                raise RunDirectoryError(
                    f"--behind-proxy{shown}: expected the address that people open, such as "
                    "https://labels.example.org, without user, path and query"
                )
        if not is_loopback(self.host) and self.certificate is None and self.proxy is None:
            raise RunDirectoryError(
                f"--host {self.host}: everybody who reaches this machine could read token and "
                "labels on their way; give --certfile and --keyfile, or --behind-proxy URL, or "
                "forward the port by ssh -L"
            )


def serve(run_path: Path, binding: Binding) -> None:
    """Serves the page, prints the address, and ends by SIGTERM or SIGINT.

    Args:
        run_path: The run directory.
        binding: Where to serve it.

    Raises:
        RunDirectoryError: No run directory, a server that runs already, a port that is taken, or
            a host that others reach without TLS.
    """
    binding.check()
    # uvicorn restores the command's handlers when it has ended, and raises the signal again.
    run_path = _checked(run_path)
    with ExitStack() as stack:
        lock = FileLock(page_path(run_path) / "server.lock", error=RunDirectoryError)
        stack.callback(lock.release)
        sweep(page_path(run_path), WRITTEN.__contains__, idle_s=0)
        token = token_of(run_path)
        bound = stack.enter_context(bound_socket(run_path, binding.host, binding.port))
        address = Address(
            binding.host,
            bound.getsockname()[1],
            token,
            is_encrypted=binding.certificate is not None,
            proxy=binding.proxy,
        )
        own = _identity(run_path)

        def is_ours() -> bool:
            return own == _identity(run_path)

        api = Api(run_path, address.run_id, is_ours=is_ours)
        stack.callback(api.close)
        api.begin()
        _announce(run_path, address)
        server = _Server(server_config(make_app(api, address), binding))
        server.is_ours = is_ours
        server.run(sockets=[bound])
        if not is_ours():
            raise RunDirectoryError(
                f"{run_path}: expected the run that is served, got another one, because the loop "
                "has started over; run the same command again"
            )


class _Server(uvicorn.Server):
    """Ends when the run directory is no longer the one that it serves."""

    is_ours: Callable[[], bool]

    async def on_tick(self, counter: int) -> bool:
        """Returns whether to end; called ten times a second."""
        return await super().on_tick(counter) or (counter % 10 == 0 and not self.is_ours())


def _identity(run_path: Path) -> int | None:
    """Returns what tells a run directory from one that has taken its place."""
    try:
        return (page_path(run_path) / "token").stat().st_ino
    except OSError:
        return None


def _checked(run_path: Path) -> Path:
    path = run_path.expanduser().resolve()
    if not path.is_dir() or not ((path / "run.lock").exists() or is_whole(path)):
        raise RunDirectoryError(
            f"{path}: expected a run directory, got {'another folder' if path.is_dir() else 'none'}"
            "; it is the run_dir that `lightning-badge loop` prints first"
        )
    refuse_links(path)
    page_path(path).mkdir(exist_ok=True)
    return path


def server_config(app: Any, binding: Binding) -> uvicorn.Config:
    """Returns the bounds and files with which the page is served."""
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_AT_ONCE,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
        ssl_certfile=binding.certificate,
        ssl_keyfile=binding.key,
    )


def _announce(run_path: Path, address: Address) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # strangers' requests are no warnings
    if not is_loopback(address.host):
        print(
            f"--host {address.host}: everybody who reaches this machine and has the address below "
            "can see the samples and label them",
            file=sys.stderr,
        )
    if not is_whole(run_path):
        print(
            f"{run_path}: waiting for `lightning-badge loop labelers=page` to begin the run",
            file=sys.stderr,
        )
    print(f"label at {address.url}", flush=True)
