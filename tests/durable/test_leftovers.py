"""What killed processes left behind is removed, and nothing else is."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lightning_badge import Ordering, RunDirectory, read_ordering, write_ordering
from lightning_badge.durable.file import replacing
from lightning_badge.durable.leftovers import sweep

KILLED = """
import os, signal, sys
from pathlib import Path
from lightning_badge.durable.file import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_while_writing(path: Path) -> Path:
    before = set(path.parent.glob(".*"))
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = set(path.parent.glob(".*")) - before
    return left


def make_old(path: Path, seconds: float = 7200) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


@pytest.mark.slow
def test_the_next_ordering_sweeps_what_a_killed_writer_of_it_left(tmp_path: Path) -> None:
    path = tmp_path / "ordering.parquet"
    left, other = kill_while_writing(path), kill_while_writing(tmp_path / "mine.txt")
    write_ordering(Ordering(np.arange(3)), path)
    assert left.exists(), "it may belong to a living process of another machine"
    make_old(left)
    make_old(other)
    write_ordering(Ordering(np.arange(3)), path)
    assert not left.exists()
    assert other.exists()
    assert len(read_ordering(path)) == 3


@pytest.mark.slow
def test_a_start_sweeps_what_a_killed_loop_left(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with RunDirectory(run):
        pass
    names = ["config.yaml", "query.csv", "rounds/000/metrics.json", "rounds/001/ordering.parquet"]
    names += ["answers/query-0a1b2c3d.csv", "page/page.json", "learning_curve.png"]
    for name in names:
        kill_while_writing(run / name)
    strangers = [
        run / "answers" / ".ana.csv.123.tmp",
        run / "page" / ".address.json.123.tmp",  # of a server, which has no lock
        run / ".config.yaml.tmp",
        run / "config.yaml.123.tmp",
        run / ".config.yaml.123.tmp.csv",
    ]
    for path in strangers:
        path.write_text("not ours")
    with RunDirectory(run):
        left = {path for path in run.rglob("*") if path.is_file() and ".tmp" in path.name}
    assert left == set(strangers)


def test_a_living_writer_keeps_its_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        assert sweep(tmp_path, "a.txt".__eq__) == []
        assert temporary.exists()
    assert (tmp_path / "a.txt").read_text() == "half"


def test_a_folder_is_as_old_as_what_changed_last_in_it(tmp_path: Path) -> None:
    folder = tmp_path / ".export.0123456789abcdef.tmp"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "best.ckpt").write_text("half")
    make_old(folder)
    make_old(folder / "deep")
    assert sweep(tmp_path, "export".__eq__) == []
    make_old(folder / "deep" / "best.ckpt")
    assert sweep(tmp_path, "export".__eq__) == [folder]
    assert not folder.exists()


def test_of_a_link_the_link_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_text("kept")
    (tmp_path / ".a.1.tmp").symlink_to(target)
    assert sweep(tmp_path, "a".__eq__, idle_s=0) == [tmp_path / ".a.1.tmp"]
    assert (target / "file").read_text() == "kept"


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none", "a".__eq__) == []
