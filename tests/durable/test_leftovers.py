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
from lightning_badge.exports.export import export_ordering
from lightning_badge.shard_folder import Request, begin

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
    names += ["label_studio.json"]
    for name in names:
        kill_while_writing(run / name)
    strangers = [
        run / "answers" / ".ana.csv.123.tmp",
        run / "page" / ".address.json.123.tmp",  # of a server, which has a lock of its own
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


SET_ASIDE = """
import os, signal, sys
from pathlib import Path
from lightning_badge.durable.folder import replacing_folder
from lightning_badge.exceptions import BadgeError

rename, at = Path.rename, int(sys.argv[2])
calls = []
def killed(self, target):
    calls.append(target)
    done = rename(self, target)
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
Path.rename = killed
with replacing_folder(Path(sys.argv[1]), ["a.txt"], error=BadgeError) as folder:
    (folder / "a.txt").write_text("new")
"""


@pytest.mark.slow
@pytest.mark.parametrize(("at", "kept"), [(1, "old"), (2, "new")])
def test_a_folder_that_was_set_aside_is_put_back_or_removed(
    tmp_path: Path, at: int, kept: str
) -> None:
    path = tmp_path / "export"
    path.mkdir()
    (path / "a.txt").write_text("old")
    arguments = [sys.executable, "-c", SET_ASIDE, str(path), str(at)]
    assert subprocess.run(arguments, check=False).returncode == -signal.SIGKILL
    left = {entry for entry in tmp_path.iterdir() if entry.name.startswith(".")}
    assert {entry.suffix for entry in left} == ({".old", ".tmp"} if at == 1 else {".old"})
    for entry in left:
        make_old(entry / "a.txt")
        make_old(entry)
    sweep(tmp_path, "export".__eq__)
    assert {entry for entry in left if entry.exists()} == {
        entry for entry in left if entry.suffix == ".old"
    }, "it was set aside just now, whatever the age of what is in it"
    sweep(tmp_path, "export".__eq__, idle_s=0)
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "a.txt").read_text() == kept


@pytest.mark.slow
def test_shards_are_swept_when_the_folder_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    request = Request("w", "32", "p", None, "float32", 8, 4, 2)
    begin(folder, request)
    before = set(folder.iterdir())
    shard, manifest = request.path(folder, 1), folder / "manifest.json"
    left = [kill_while_writing(shard), kill_while_writing(manifest)]
    mine = kill_while_writing(folder / "mine.safetensors")
    begin(folder, request)
    assert all(path.exists() for path in left), "another process may be writing them"
    for path in (*left, mine):
        make_old(path)
    begin(folder, request)
    assert set(folder.iterdir()) == before | {mine}


def test_an_export_sweeps_what_an_earlier_one_left(tmp_path: Path) -> None:
    for name, to in (("q.jsonl", "jsonl"), ("metadata", "lightly")):
        left = tmp_path / f".{name}.0123456789abcdef.tmp"
        left.mkdir() if to == "lightly" else left.write_text("half")
        make_old(left)
        export_ordering(Ordering(np.arange(3)), tmp_path / name, to)
        assert not left.exists()


def test_of_a_link_the_link_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / "file").write_text("kept")
    (tmp_path / ".a.1.tmp").symlink_to(target)
    assert sweep(tmp_path, "a".__eq__, idle_s=0) == [tmp_path / ".a.1.tmp"]
    assert (target / "file").read_text() == "kept"


def test_a_folder_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none", "a".__eq__) == []
