"""Atomic replacement of files, safe against crashes and power failures."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path; after the ``with`` block its file is synced and replaces ``path``.

    Missing folders are created. After an exception in the ``with`` block, ``path`` is unchanged and
    the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def identity_of(path: Path) -> tuple[int, int] | None:
    """Returns what tells a file or folder from the one that replaces it; None if there is none.

    A file that is written in place changes its identity too, a folder does not.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
