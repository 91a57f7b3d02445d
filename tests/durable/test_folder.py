import os
from pathlib import Path

import pytest

from lightning_badge.durable.folder import replacing_folder
from lightning_badge.exceptions import RunDirectoryError

NAMES = ("a.txt", "b.txt")


def write(path: Path, text: str, *names: str) -> None:
    with replacing_folder(path, NAMES, error=RunDirectoryError) as folder:
        for name in names:
            (folder / name).write_text(text)


def contents(path: Path) -> dict[str, str]:
    return {entry.name: entry.read_text() for entry in path.iterdir()}


def test_a_folder_replaces_the_earlier_one_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out"
    write(path, "old", "a.txt", "b.txt")
    write(path, "new", "a.txt")
    assert contents(path) == {"a.txt": "new"}
    assert list(path.parent.iterdir()) == [path]


def test_an_exception_leaves_the_earlier_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, "old", "a.txt")

    def interrupted() -> None:
        with replacing_folder(path, NAMES, error=RunDirectoryError) as folder:
            (folder / "a.txt").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(path) == {"a.txt": "old"}
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_somebody_else_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, "old", "a.txt")
    (path / "thesis.txt").write_text("mine")
    with pytest.raises(RunDirectoryError, match=r"other files in it \('thesis.txt'\)"):
        write(path, "new", "a.txt")
    assert contents(path) == {"a.txt": "old", "thesis.txt": "mine"}


def test_files_that_come_meanwhile_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def overtaken() -> None:
        with replacing_folder(path, NAMES, error=RunDirectoryError):
            path.mkdir()
            (path / "thesis.txt").write_text("mine")

    with pytest.raises(RunDirectoryError, match="other files"):
        overtaken()
    assert contents(path) == {"thesis.txt": "mine"}


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(RunDirectoryError, match="expected a folder or none, got a file"):
        write(tmp_path / "out", "new", "a.txt")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_link_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("mine")
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunDirectoryError, match="expected a folder or none, got a symbolic link"):
        write(tmp_path / "out", "new", "a.txt")
    assert contents(tmp_path / "elsewhere") == {"a.txt": "mine"}


def test_folders_of_somebody_else_with_a_temporary_name_are_kept(tmp_path: Path) -> None:
    for end in ("tmp", "old"):
        other = tmp_path / f".out.{os.getpid()}.{end}"
        other.mkdir()
        (other / "thesis.txt").write_text("mine")
    write(tmp_path / "out", "new", "a.txt")
    assert contents(tmp_path / "out") == {"a.txt": "new"}
    assert sum((path / "thesis.txt").exists() for path in tmp_path.iterdir()) == 2
