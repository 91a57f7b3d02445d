"""Errors of the operating system that a user can mend, in one line."""

import errno
import os

_ROOM = "make room"
_WRITABLE = "make it writable, or choose another folder"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: _ROOM,
    errno.EROFS: _WRITABLE,
    errno.EACCES: _WRITABLE,
    errno.EPERM: _WRITABLE,
    errno.EIO: "check the disk",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "end other programs, which have too many files open",
    errno.ENOMEM: "free memory",
    errno.ENOTDIR: "remove the file that is in the place of a folder, or choose another folder",
    errno.EISDIR: "remove the folder that is in the place of a file",
    errno.ELOOP: "remove the links that lead to each other",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ESTALE: "check the network file system",
}


def describe(error: BaseException | None) -> str | None:
    """Returns what happened to which file and what to do; None for any other error.

    Example:
        >>> describe(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/labels.csv"))
        'runs/labels.csv: No space left on device; make room, and run the same command again'
    """
    if not isinstance(error, OSError) or error.errno not in _REMEDIES:
        return None
    remedy = f"{_REMEDIES[error.errno]}, and run the same command again"
    place = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
    return f"{place}{' '.join(str(error.strerror).split())}; {remedy}"
