"""A disk that is full: one line, nothing torn, and the same command goes on when there is room."""

import csv
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import forked
import pytest
from page_client import Browser, RefusedError, given
from tiny_table import NAMES, commands, make_data

from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

pytestmark = pytest.mark.slow

COMMANDS = commands("disk/run")
LOOK_S = 0.02
ROOM = 64 << 20
# In units of what the files of an undisturbed run take in the end; 0 is a single page of memory. On
# the way it takes more, for SQLite's log and for temporary files.
SHARES = (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 1.4, 1.9)
LONG = [pytest.param(share, marks=pytest.mark.long) for share in SHARES]
BOTH = [*LONG[:3], SHARES[3], *LONG[4:]]  # one of them in the default suite


class Disk:
    """A file system of a given size at ``folder/disk``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "disk"
        self.path.mkdir()

    def mount(self, size: int) -> None:
        options = f"size={max(size, 4096)}"
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.path)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("file systems cannot be mounted here; run as root")

    def grow(self) -> None:
        options = f"remount,size={ROOM}"
        subprocess.run(["mount", "-o", options, str(self.path)], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", str(self.path)], check=False, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    disk = Disk(tmp_path)
    yield disk
    disk.unmount()


def run_of(folder: Path) -> tuple[dict[Any, Any], str]:
    """Returns labels and learning curve."""
    directory = RunDirectory(folder / "disk" / "run")
    with LabelStore(directory.labels_path) as store:
        return store.labels(), directory.learning_curve_csv_path.read_text()


def check_end(ended: forked.Ended) -> bool:
    """Checks that a start ended well or with one line of error; returns whether it ended well."""
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in ended.err, ended.err
    assert (ended.status, len(errors)) in ((0, 0), (1, 1)), ended
    return ended.status == 0


def check_nothing_torn(path: Path) -> None:
    """Reads every file of a run that a later start reads."""
    for file in path.rglob("ordering*.parquet"):
        assert len(read_ordering(file)) > 0
    for file in path.rglob("*.json"):
        json.loads(file.read_text())
    assert not list(path.rglob("*.tmp"))


def start_again_with_room(disk: Disk, command: tuple[str, ...]) -> bool:
    """Runs a command, again if the disk was full; returns whether the first time sufficed."""
    is_well = check_end(forked.run(disk.folder, *command))
    check_nothing_torn(disk.path)
    if not is_well:
        disk.grow()
        assert check_end(forked.run(disk.folder, *command)), "it does not go on"
    return is_well


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[tuple[dict[Any, Any], str], int]:
    """The labels and the curve of an undisturbed run, and the bytes that it takes on a disk."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "disk").mkdir()
    make_data(folder, is_labeled=True)
    assert check_end(forked.run(folder, *COMMANDS["dataset"]))
    used = sum(-(-file.stat().st_size // 4096) for file in (folder / "disk").rglob("*"))
    return run_of(folder), 4096 * used


@pytest.mark.parametrize("share", BOTH)
def test_simulated_labelers(share: float, disk: Disk, whole: Any) -> None:
    expected, used = whole
    disk.mount(int(share * used))
    make_data(disk.folder, is_labeled=True)
    is_well = start_again_with_room(disk, COMMANDS["dataset"])
    assert run_of(disk.folder)[0] == expected[0]
    if not is_well:  # else the curve may be a warning
        assert run_of(disk.folder) == expected


@pytest.mark.parametrize("size", [100, 5_000, 20_000, 60_000, 120_000])
@pytest.mark.long
def test_a_limit_on_the_size_of_files(size: int, tmp_path: Path, whole: Any) -> None:
    (tmp_path / "disk").mkdir()
    make_data(tmp_path, is_labeled=True)
    is_well = check_end(forked.run(tmp_path, *COMMANDS["dataset"], largest_file=size))
    check_nothing_torn(tmp_path / "disk")
    assert is_well or check_end(forked.run(tmp_path, *COMMANDS["dataset"]))
    assert run_of(tmp_path)[0] == whole[0][0]


@pytest.mark.parametrize("share", LONG)
def test_labelers_by_files(share: float, disk: Disk, whole: Any) -> None:
    disk.mount(int(share * whole[1]))
    right = make_data(disk.folder, is_labeled=False)
    run, given = disk.path / "run", dict[str, int]()
    for number in range(3):
        start_again_with_room(disk, COMMANDS["files"])
        with (run / "query.csv").open(newline="", encoding="utf-8") as file:
            asked = [row["sample_id"] for row in csv.DictReader(file)][:12]
        assert asked
        assert not set(asked) & set(given), "asked twice"
        lines = "".join(f"{sample_id},{NAMES[right[sample_id]]}\n" for sample_id in asked)
        # Somebody writes them elsewhere and puts them there when there is room.
        try:
            (run / "answers" / f"{number}.csv").write_text(f"sample_id,label\n{lines}")
        except OSError:
            disk.grow()
            (run / "answers" / f"{number}.csv").write_text(f"sample_id,label\n{lines}")
        given |= {sample_id: right[sample_id] for sample_id in asked}
    start_again_with_room(disk, COMMANDS["files"])
    assert {str(key): label for key, label in run_of(disk.folder)[0].items()} == given


@pytest.mark.parametrize("share", LONG)
def test_labelers_at_the_page(share: float, disk: Disk, whole: Any) -> None:
    pytest.importorskip("starlette")
    disk.mount(int(share * whole[1]))
    right = make_data(disk.folder, is_labeled=False)
    confirmed = PageOfRun(disk, right).go()
    with LabelStore(disk.path / "run" / "labels.db") as store:
        answers = store.answers()
    assert {a.request_id: (str(a.sample_id), a.label) for a in answers} == confirmed
    assert len({a.sample_id for a in answers}) == len(answers) >= 16


class PageOfRun:
    """Somebody labels at the page of a run whose disk is full at first.

    There is room after the first failure that anybody sees: an end with an error, or a request that
    is refused.
    """

    def __init__(self, disk: Disk, right: dict[str, int]) -> None:
        self.disk, self.right = disk, right
        self.has_room = False
        self.confirmed: dict[str, tuple[str, int]] = {}
        self.tab: Browser | None = None
        self.refused: list[int] = []

    def go(self) -> dict[str, tuple[str, int]]:
        """Runs the command until it ends well; returns the confirmed answers by request."""
        while True:
            process = forked.start(self.disk.folder, *COMMANDS["page"])
            try:
                while process.is_alive():
                    self._work(process)
                    time.sleep(LOOK_S)
            finally:
                process.terminate()
                process.join()
            self._leave()
            assert set(self.refused) <= {503}
            if check_end(forked.ended(self.disk.folder, process)):
                return self.confirmed
            self._make_room()

    def _work(self, process: Any) -> None:
        out = self.disk.folder / f"{process.pid}.out"
        printed = out.read_text() if out.exists() else ""
        if self.tab is None and (found := re.search("^label at (.+)$", printed, re.MULTILINE)):
            self.tab = Browser(found[1])
        if self.tab is None:
            return
        try:
            items = self.tab.call("next", want=1)["items"]
            for item in items:
                answer = given(item, self.right[item["id"]])
                reply = self.tab.call("answer", want=0, answers=[answer])
                if answer["request"] in reply["confirmed"]:
                    self.confirmed[answer["request"]] = item["id"], answer["label"]
        except (OSError, HTTPException):
            self._leave()
        except RefusedError as error:
            self.refused.append(error.status)
            self._make_room()

    def _make_room(self) -> None:
        assert not self.has_room, "it fails with room, too"
        self.has_room = True
        self.disk.grow()

    def _leave(self) -> None:
        if self.tab is not None:
            self.tab.close()
        self.tab = None
