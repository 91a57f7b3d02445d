"""Temporary files and folders that a killed process left behind.

`replacing` and `replacing_folder` name them ``.NAME.TOKEN.tmp``, where NAME is that of the file to
replace and TOKEN a process id or 16 hexadecimal digits; a folder that is being replaced is
``.NAME.TOKEN.old``, with 16 digits. Only such names are ever removed.
"""

import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path

HOUR_S = 3600.0
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?:(?:[0-9]{1,10}|[0-9a-f]{16})\.tmp|[0-9a-f]{16}\.old)")
_log = logging.getLogger(__name__)


def sweep(folder: Path, is_ours: Callable[[str], object], *, idle_s: float = HOUR_S) -> list[Path]:
    """Removes what is left of replacements that never came to their end.

    A folder that was set aside for one that never took its place is moved back.

    Args:
        folder: Where to look, not below it. One that cannot be read or written stays as it is.
        is_ours: Returns something true for the names of files that the caller replaces.
        idle_s: A temporary file that changed less than so many seconds ago may belong to a living
            process. 0 if the caller holds a lock that every writer holds.

    Returns:
        What was removed.
    """
    removed = []
    try:
        for path in sorted(folder.iterdir()):
            found = _TEMPORARY.fullmatch(path.name)
            if not found or not is_ours(found["name"]) or _idle_s(path) < idle_s:
                continue
            if path.suffix == ".old" and not os.path.lexists(folder / found["name"]):
                path.rename(folder / found["name"])
            else:
                _remove(path)
                removed.append(path)
    except OSError as error:
        _log.debug("%s: left-over files stay: %s", folder, str(error))  # its frames hold tensors
    return removed


def _idle_s(path: Path) -> float:
    """Returns for how many seconds nothing in a file or folder has changed."""
    status = path.lstat()
    changed = [status.st_mtime]
    if path.suffix == ".old":
        changed.append(status.st_ctime)  # when it was set aside
    if stat.S_ISDIR(status.st_mode):
        changed += [inside.lstat().st_mtime for inside in path.rglob("*")]
    return time.time() - max(changed)


def _remove(path: Path) -> None:
    if stat.S_ISDIR(path.lstat().st_mode):
        shutil.rmtree(path)
    else:
        path.unlink()  # of a link the link, not what it points to
