"""A file lock that the operating system releases when the process ends, even if it is killed."""

import os
import socket
from pathlib import Path

from lightning_badge.durable.file import what_is_wrong
from lightning_badge.exceptions import BadgeError

_LONGEST = 300  # characters of a holder's name

# A forked child, such as a DataLoader worker, inherits these descriptors. It closes them, because
# it would otherwise hold the locks after its parent was killed.
_held: set[int] = set()


def _close_in_child() -> None:
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


class FileLock:
    """An exclusive lock; does not wait, but raises an error that names the holder.

    Args:
        path: The file to lock; created if missing, never removed.
        error: Exception class to raise.

    Raises:
        BadgeError: A lock that another process holds, or a file that cannot be locked.
    """

    def __init__(self, path: Path, *, error: type[BadgeError]) -> None:
        self.path = path
        try:
            import fcntl
        except ImportError:
            raise error(f"{path}: locks need a POSIX system such as Linux, macOS or WSL") from None
        try:
            _check(path, error)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The folder may have been renamed between open and flock.
                if not os.path.samestat(os.fstat(descriptor), path.lstat()):
                    raise FileNotFoundError("moved while it was being locked; run again")
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            except BaseException:
                os.close(descriptor)
                raise
        except BlockingIOError:
            holder = _read(path) or "another process"
            raise error(
                f"{path.parent}: in use by {holder}; wait for it, stop it, or choose another path"
            ) from None
        except OSError as reason:
            raise error(f"{path}: cannot be locked: {reason}") from reason
        _held.add(descriptor)
        self._descriptor = descriptor

    def release(self) -> None:
        """Releases the lock; a second call does nothing."""
        if self._descriptor in _held:
            _held.remove(self._descriptor)
            os.close(self._descriptor)


def _check(path: Path, error: type[BadgeError]) -> None:
    """Refuses a link, through which the holder's name would be written into another file."""
    if wrong := what_is_wrong(path):
        raise error(f"{path}: expected a file, got {wrong}; remove it, or choose another path")


def holder_of(path: Path) -> str | None:
    """Returns what holds a lock, such as ``process 7 on host``; None if nothing does.

    Args:
        path: The file of a `FileLock`.
    """
    try:
        if what_is_wrong(path):
            return None
        text = _read(path)
        # Only if the process that locked it may live: this lock, even for a moment, would refuse
        # a `FileLock` of another process.
        return text if text and _may_live(text) and _is_held(path) else None
    except (OSError, ImportError):
        return None


def _read(path: Path) -> str:
    """Returns the first line of a file, of which more than a name would not be ours."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline(_LONGEST).strip()


def _may_live(holder: str) -> bool:
    _, process, _, host = (*holder.split(maxsplit=3), "", "", "", "")[:4]
    if host != socket.gethostname() or not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_held(path: Path) -> bool:
    import fcntl

    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
