import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_badge.durable.lock import FileLock, holder_of
from lightning_badge.exceptions import RunDirectoryError


def lock(path: Path) -> FileLock:
    return FileLock(path, error=RunDirectoryError)


def test_a_lock_is_exclusive_until_it_is_released(tmp_path: Path) -> None:
    held = lock(tmp_path / "run.lock")
    with pytest.raises(RunDirectoryError, match=rf"in use by process {os.getpid()} on "):
        lock(tmp_path / "run.lock")
    held.release()
    held.release()
    lock(tmp_path / "run.lock").release()


def test_a_new_file_at_the_path_of_a_moved_one_is_another_lock(tmp_path: Path) -> None:
    moved = lock(tmp_path / "run.lock")
    (tmp_path / "run.lock").rename(tmp_path / "old.lock")
    new = lock(tmp_path / "run.lock")
    with pytest.raises(RunDirectoryError, match="in use by"):
        lock(tmp_path / "old.lock")
    moved.release()
    lock(tmp_path / "old.lock").release()
    new.release()


def test_a_file_that_moves_while_it_is_being_locked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.samestat", lambda *stats: False)
    with pytest.raises(RunDirectoryError, match=r"run\.lock: .* moved while it was being locked"):
        lock(tmp_path / "run.lock")
    monkeypatch.undo()
    lock(tmp_path / "run.lock").release()


def test_the_error_names_a_file_that_cannot_be_locked(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"missing/run\.lock: cannot be locked: "):
        lock(tmp_path / "missing" / "run.lock")


def test_a_system_without_posix_locks_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(RunDirectoryError, match="locks need a POSIX system"):
        lock(tmp_path / "run.lock")


def test_the_holder_is_named_while_the_lock_is_held(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    assert holder_of(path) is None
    held = lock(path)
    assert holder_of(path) == f"process {os.getpid()} on {socket.gethostname()}"
    held.release()
    assert holder_of(path) is None


def test_a_lock_of_a_process_that_ended_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.lock"
    with subprocess.Popen(["true"]) as ended:
        pass
    path.write_text(f"process {ended.pid} on {socket.gethostname()}\n")
    monkeypatch.setattr("fcntl.flock", None)
    assert holder_of(path) is None


def test_the_lock_of_another_host_is_tried(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    held = lock(path)
    path.write_text("process 7 on elsewhere\n")
    assert holder_of(path) == "process 7 on elsewhere"
    held.release()
    assert holder_of(path) is None


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_in_place_of_the_lock_is_refused_and_not_followed(
    tmp_path: Path, exists: bool
) -> None:
    target = tmp_path / "precious"
    if exists:
        target.write_text("mine")
    (tmp_path / "run.lock").symlink_to(target)
    with pytest.raises(RunDirectoryError, match=r"run\.lock: expected a file, got a symbolic link"):
        lock(tmp_path / "run.lock")
    assert (target.read_text() == "mine") if exists else not target.exists()
    assert holder_of(tmp_path / "run.lock") is None


def test_something_else_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.lock")
    with pytest.raises(RunDirectoryError, match=r"run\.lock: expected a file, got something else"):
        lock(tmp_path / "run.lock")
    assert holder_of(tmp_path / "run.lock") is None


@pytest.mark.parametrize("content", [b"\xff" * 9, b"x" * 5_000_000])
def test_a_lock_that_somebody_else_wrote_is_read_in_part(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.lock"
    held = lock(path)
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match="in use by") as caught:
        lock(path)
    assert len(str(caught.value)) < 700
    assert len(holder_of(path) or "") < 400
    held.release()
