"""SHA-256 digests of files, by which damage is noticed before a file is used."""

import hashlib
from pathlib import Path

_BLOCK = 1 << 20


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def damage_of(path: Path, expected: str | None) -> str | None:
    """Returns what is wrong with a file; None if nothing is known to be wrong.

    Args:
        path: The file.
        expected: Its SHA-256; None if it was not recorded. Then only an empty file is wrong.
    """
    try:
        if path.stat().st_size == 0:
            return "it is empty"
        if expected is not None and (found := sha256_of(path)) != expected:
            return f"expected the SHA-256 {expected[:12]}..., got {found[:12]}..."
    except FileNotFoundError:
        return None if expected is None else "it is missing"
    except OSError as error:
        return f"it cannot be read ({error.strerror or error})"
    return None
