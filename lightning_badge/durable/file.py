"""Atomic replacement of files, safe against crashes and power failures."""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[Path]:
    """Yields a temporary file; after the ``with`` block it is synced and replaces ``path``.

    Missing folders are created. After an exception in the ``with`` block, ``path`` is unchanged and
    the temporary file is removed. A symbolic link at ``path`` is replaced, not followed.

    Args:
        path: The file.
        mode: Permissions of the file, less those that the umask takes away. It has them before
            anything is written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path, "tmp")
    # O_EXCL: neither a file nor a link of somebody else at this name is written to.
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # as of a write, also in C++
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def temporary_name(path: Path, end: str) -> Path:
    """Returns a name beside ``path`` that no thread, process or container chooses again."""
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.{end}")


def what_is_wrong(path: Path) -> str | None:
    """Returns what is in place of a file, if it is not one; None for a file, or for nothing."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return None if stat.S_ISREG(mode) else "a folder" if stat.S_ISDIR(mode) else "something else"


def identity_of(path: Path) -> tuple[int, int] | None:
    """Returns what tells a file or folder from the one that replaces it; None if there is none.

    A file that is written in place changes its identity too, a folder does not.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, 0 if stat.S_ISDIR(status.st_mode) else status.st_mtime_ns


def sync(path: Path) -> None:
    """Returns when a file, or the list of files in a folder, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
