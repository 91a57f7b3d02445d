import errno
import os
import threading
from pathlib import Path

import pytest

from lightning_badge.durable.file import replacing


def test_a_link_at_a_temporary_name_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    target = tmp_path / "a.txt"
    for end in ("tmp", f"{os.getpid()}.tmp"):
        (tmp_path / f".a.txt.{end}").symlink_to(tmp_path / "precious")
    with replacing(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_temporary_file_that_exists_is_an_error_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda *_: "same")
    (tmp_path / ".a.txt.same.tmp").symlink_to(tmp_path / "precious")
    with pytest.raises(FileExistsError), replacing(tmp_path / "a.txt"):
        pass
    assert (tmp_path / ".a.txt.same.tmp").is_symlink()
    assert not (tmp_path / "precious").exists()


def test_a_link_in_place_of_the_file_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "a.txt").symlink_to(tmp_path / "precious")
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "precious").read_text() == "mine"
    assert (tmp_path / "a.txt").read_text() == "new"


def test_writers_in_threads_do_not_meet(tmp_path: Path) -> None:
    both, failed = threading.Barrier(2, timeout=60), []

    def write(text: str) -> None:
        try:
            with replacing(tmp_path / "a.txt") as temporary:
                temporary.write_text(text)
                both.wait()
        except OSError as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(text * 9,)) for text in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert (tmp_path / "a.txt").read_text() in ("a" * 9, "b" * 9)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_has_its_mode_before_anything_is_written(tmp_path: Path, mode: int) -> None:
    with replacing(tmp_path / "a.txt", mode=mode) as temporary:
        assert temporary.stat().st_mode & 0o777 == mode
        temporary.write_text("secret")
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == mode


def test_an_error_of_the_disk_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    with pytest.raises(OSError, match="No space left") as caught, replacing(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == []
