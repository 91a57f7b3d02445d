"""The address of a service, and its key, which only the environment holds."""

import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from lightning_badge.exceptions import LabelError

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Endpoint:
    """Where requests go.

    Attributes:
        url: The address, without a slash at its end.
        key: Name of the environment variable that holds the key; None for a service without one.

    Raises:
        LabelError: Not an address, one that holds a password or that would send a key in clear
            text, or a name that cannot be one of a variable.
    """

    url: str
    key: str | None = None

    def __post_init__(self) -> None:
        parts = _parts(self.url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            # What came may be a key or hold a password, so no more of it is shown.
            got = repr(parts.scheme) if parts is not None and "//" in str(self.url) else "none"
            raise LabelError(
                "labelers.url: expected an address such as https://labels.example.org/label, got "
                f"{got}"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise LabelError(
                "labelers.url: expected an address without password and query, because it is "
                "written into the run directory; labelers.key names the environment variable of "
                "the key"
            )
        if self.key is not None and not (
            isinstance(self.key, str) and _VARIABLE.fullmatch(self.key)
        ):
            # What came may be the key itself, so it is not shown.
            raise LabelError(
                "labelers.key: expected the name of an environment variable in capitals, such as "
                "LABELING_SERVICE_KEY, or null; never the key itself"
            )
        if self.key is not None and parts.scheme == "http" and parts.hostname not in _HERE:
            raise LabelError(
                f"labelers.url: expected https://, because the key of {self.key} would cross the "
                "network in clear text; or set labelers.key=null"
            )
        object.__setattr__(self, "url", self.url.rstrip("/"))

    def secret(self) -> str | None:
        """Returns the key; None for a service without one.

        Raises:
            LabelError: The variable is empty, or its value cannot be sent.
        """
        if self.key is None:
            return None
        secret = os.environ.get(self.key, "").strip()
        if not secret:
            raise LabelError(
                f"labelers.key: expected a key in the environment variable {self.key}, which is "
                f"empty; export {self.key}=..., or set labelers.key=null for a service without one"
            )
        if not secret.isascii() or not secret.isprintable():
            raise LabelError(f"the key in {self.key}: expected printable ASCII characters")
        return secret


def _parts(url: object) -> SplitResult | None:
    """Returns the parts of an address; None if it is none."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return parts if parts is None or parts.port is None or parts.port > 0 else None
    except ValueError:
        return None
