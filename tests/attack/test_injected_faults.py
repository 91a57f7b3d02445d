"""Single I/O calls of real runs fail, are cut short, or are the last of their process.

Whatever the fault, starting the same command again ends the run as if nothing had happened: with
known labels and with answers in files to the same labels, curve and orderings; with people at the
page no answer that was confirmed is missing and none is asked for twice.
"""

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

HERE = Path(__file__).parent
IO_KINDS = ("kill_before", "kill_after", "kill_halfway", "fail", "disk_full", "short")
KILLS = IO_KINDS[:3]
# Labelers, the command that has the fault, and how many faults of the long campaign.
PLACES = [
    ("dataset", "loop", 130),
    ("files", "loop", 70),
    ("page", "loop", 60),
    ("page", "label", 50),
]
SIGKILLS = [
    ("dataset", "loop", 40),
    ("files", "loop", 20),
    ("page", "loop", 20),
    ("page", "label", 25),
]
WORKERS = 2

Entry = dict[str, Any]
Campaign = Callable[..., list[Entry]]


@pytest.fixture(scope="session")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Returns what runs faults and says what became of them."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler, named cc, to build the library that fails calls")
    folder, numbers = tmp_path_factory.mktemp("faults"), itertools.count()
    library = folder / "io_faults.so"
    options = ["-O1", "-shared", "-fPIC", "-o", str(library), str(HERE / "io_faults.c"), "-ldl"]
    subprocess.run([compiler, *options], check=True)
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    path = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        **threads,
        "PYTHONPATH": os.pathsep.join(path),
        "LD_PRELOAD": str(library),
        "IO_FAULTS": str(library),
    }

    def work(place: Path, faults: list[Entry]) -> list[Entry]:
        done = subprocess.run(
            [sys.executable, str(HERE / "campaign.py"), str(place), json.dumps(faults)],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def run(faults: Iterable[Entry], workers: int = WORKERS) -> list[Entry]:
        faults = list(faults)
        parts = [faults[number::workers] for number in range(workers)]
        places = [folder / f"{next(numbers)}" for _ in parts]
        with ThreadPoolExecutor(workers) as pool:
            return [found for part in pool.map(work, places, parts) for found in part]

    return run


@pytest.fixture(scope="session")
def untouched(campaign: Campaign) -> dict[tuple[str, str], Entry]:
    """Returns runs without a fault by labelers and command."""
    places = [{"labelers": labelers, "command": command} for labelers, command, _ in PLACES]
    found = {}
    for entry in campaign(places):
        assert "error" not in entry, entry
        assert entry["statuses"] == [0] * (3 if entry["fault"]["labelers"] == "files" else 1)
        assert entry["calls"] > 100
        assert entry["labels"]
        assert entry["curve"].count("\n") == 4
        found[entry["fault"]["labelers"], entry["fault"]["command"]] = entry
    return found


def wrongs(found: Entry, untouched: Entry) -> list[str]:
    """Returns what is wrong with a run that had a fault."""
    if "error" in found:
        return [found["error"]]
    wrong = []
    if found["statuses"][-1] != 0:
        wrong.append(f"did not go on: {found['statuses']}, {found['errors'][-1]}")
    for kept in ("lost", "repeated"):
        if found[kept]:
            wrong.append(f"{kept}: {found[kept]}")
    labelers, command = found["fault"]["labelers"], found["fault"]["command"]
    # What is answered while a model trains depends on the time, so people's curves, and the numbers
    # of their labels, differ.
    compared = ["labels", "curve", "rounds"] if labelers != "page" else []
    for name in compared:
        if found[name] != untouched[name]:
            wrong.append(f"{name}: expected {untouched[name]}, got {found[name]}")
    if found["curve"].count("\n") != untouched["curve"].count("\n"):
        wrong.append(f"expected as many rounds as in {untouched['curve']}, got {found['curve']}")
    is_kill = found["fault"]["kind"] in KILLS
    if command == "loop" and is_kill and found["statuses"][0] != -9:
        wrong.append(f"expected the first start to be killed, got {found['statuses']}")
    for status, error in zip(found["statuses"], found["errors"], strict=True):
        lines = [line for line in error.splitlines() if line.startswith("error: ")]
        if status > 0 and len(lines) != 1:
            wrong.append(f"exit status {status} with {error[-400:]!r}")
        if "Traceback" in error:
            wrong.append(f"a traceback: {error[-400:]}")
    return wrong


def check(found: Iterable[Entry], untouched: dict[tuple[str, str], Entry]) -> None:
    failed = {}
    for entry in found:
        fault = entry["fault"]
        if wrong := wrongs(entry, untouched[fault["labelers"], fault["command"]]):
            failed[json.dumps(fault)] = wrong
    assert not failed, "\n".join(f"{fault}: {wrong}" for fault, wrong in failed.items())


def faults_of(
    places: list[tuple[str, str, int]], untouched: dict[tuple[str, str], Entry], seed: int
) -> list[Entry]:
    """Returns as many faults as asked for at each place, of all kinds, at calls drawn at random."""
    rng = random.Random(seed)
    found = []
    for labelers, command, count in places:
        calls = untouched[labelers, command]["calls"]
        # The number of calls while people answer depends on how often the processes look.
        last = calls if labelers != "page" else calls * 9 // 10
        drawn = rng.sample(range(1, last + 1), count)
        for number, at in enumerate(drawn):
            kind = IO_KINDS[number % len(IO_KINDS)]
            found.append({"labelers": labelers, "command": command, "kind": kind, "at": at})
    return found


@pytest.mark.slow
def test_a_few_faults_change_nothing(campaign: Campaign) -> None:
    place = {"labelers": "dataset", "command": "loop"}
    faults = [("count", 0), ("kill_halfway", 230), ("fail", 120), ("disk_full", 330)]
    whole, *found = campaign([{**place, "kind": kind, "at": at} for kind, at in faults], workers=1)
    assert whole["calls"] > 400
    check(found, {("dataset", "loop"): whole})


@pytest.mark.long
def test_three_hundred_faults_change_nothing(
    campaign: Campaign, untouched: dict[tuple[str, str], Entry]
) -> None:
    faults = faults_of(PLACES, untouched, seed=2)
    assert len(faults) >= 300
    check(campaign(faults), untouched)


@pytest.mark.long
def test_a_hundred_random_kills_change_nothing(
    campaign: Campaign, untouched: dict[tuple[str, str], Entry]
) -> None:
    rng = random.Random(3)
    faults = [
        {
            "labelers": labelers,
            "command": command,
            "kind": "sigkill",
            "at": rng.uniform(0.0, untouched[labelers, command]["seconds"]),
        }
        for labelers, command, count in SIGKILLS
        for _ in range(count)
    ]
    assert len(faults) >= 100
    found = campaign(faults)
    check(found, untouched)
    killed = [entry for entry in found if -9 in entry["statuses"]]
    assert len(killed) >= 50
