"""A consistent copy of a SQLite database that other processes may be writing to."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from lightning_badge.durable.file import replacing
from lightning_badge.exceptions import BadgeError


def snapshot(source: Path, target: Path, *, error: type[BadgeError]) -> None:
    """Copies a database by SQLite's online backup; the source and its folder stay as they are.

    The copy holds all transactions committed before the call, and is one file without a write-ahead
    log. It replaces ``target`` atomically.

    Args:
        source: The database.
        target: The copy; missing folders are created.
        error: Exception class to raise.

    Raises:
        BadgeError: The source cannot be read, or the target cannot be written.
    """
    if not source.is_file():
        raise error(f"{source}: expected a SQLite file, but there is none")
    try:
        with replacing(target) as temporary:
            _copy(source, temporary)
    except (sqlite3.Error, OSError) as reason:
        raise error(f"{source}: cannot be copied to {target}: {reason}") from reason


def _copy(source: Path, target: Path) -> None:
    log = source.with_name(f"{source.name}-wal")
    # A read-only connection creates a write-ahead log if there is none, and cannot remove it. But
    # without a log no process has the database open, so its file alone is complete. A process that
    # opens it meanwhile creates the log; then the copy is made again, with the log.
    if not log.exists():
        before = source.stat()
        try:
            _backup(source, target, "mode=ro&immutable=1")
        except sqlite3.DatabaseError:
            if not log.exists() and _is_same(before, source.stat()):
                raise
        if not log.exists() and _is_same(before, source.stat()):
            return
        target.unlink(missing_ok=True)
    _backup(source, target, "mode=ro")


def _backup(source: Path, target: Path, options: str) -> None:
    address = f"file:{quote(str(source.absolute()))}?{options}"
    with (
        closing(sqlite3.connect(address, uri=True)) as original,
        closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def _is_same(before: os.stat_result, after: os.stat_result) -> bool:
    names = ("st_ino", "st_size", "st_mtime_ns")
    return all(getattr(before, name) == getattr(after, name) for name in names)
