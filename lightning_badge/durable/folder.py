"""Replacement of a whole folder, which is complete or does not exist."""

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_badge.durable.file import sync, temporary_name
from lightning_badge.exceptions import BadgeError
from lightning_badge.sample_ids import name_ids


@contextmanager
def replacing_folder(
    path: Path, names: Collection[str], *, error: type[BadgeError]
) -> Iterator[Path]:
    """Yields a temporary folder, which replaces ``path`` after the ``with`` block.

    After an exception, ``path`` is unchanged and the temporary folder is removed.

    Args:
        path: The folder; missing parents are created.
        names: Names of the files that the folder may hold. One that holds other files is refused,
            so that no file of somebody else is lost.
        error: Exception class to raise.

    Raises:
        BadgeError: ``path`` is a file, or a folder with other files.
    """
    _check(path, names, error)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, aside = temporary_name(path, "tmp"), temporary_name(path, "old")
    temporary.mkdir()
    try:
        yield temporary
        for written in temporary.rglob("*"):
            sync(written)
        sync(temporary)
        _check(path, names, error)
        if path.exists():
            path.rename(aside)
        temporary.rename(path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _check(path: Path, names: Collection[str], error: type[BadgeError]) -> None:
    if path.is_symlink():
        raise error(f"{path}: expected a folder or none, got a symbolic link; choose another one")
    if not path.exists():
        return
    if not path.is_dir():
        raise error(f"{path}: expected a folder or none, got a file; choose another one")
    if others := sorted({entry.name for entry in path.iterdir()} - set(names)):
        raise error(
            f"{path}: expected an earlier export, an empty folder or none, got a folder with other "
            f"files in it ({name_ids(others)}); choose another one"
        )
