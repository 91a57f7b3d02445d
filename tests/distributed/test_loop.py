"""The loop on several processes: the queries of one process, and kills of any process."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

TIMEOUT = 300
# Weights that stay as they are, so that one process and several have the same.
FIXED = ("model=mlp", "model.lr=0.0")
QUICK = ("budget=variable", "max_rounds=3", "trainer.max_steps=20", "trainer.val_check_interval=10")


def start(run_dir: Path, *overrides: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lightning_badge", "loop", *QUICK, f"run_dir={run_dir}", *overrides],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finish(run_dir: Path, *overrides: str) -> str:
    process = start(run_dir, *overrides)
    printed, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, printed
    return printed


def answers(run_dir: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(run_dir / "labels.db") as store:
        return store.execute(
            "SELECT round, sample_id, label FROM answers ORDER BY answer_id"
        ).fetchall()


def processes_of(run_dir: Path) -> dict[int, int]:
    """Returns the process ids of a run by rank."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_text()
            environment = (entry / "environ").read_text()
        except OSError:
            continue
        if f"run_dir={run_dir}\0" in f"{command}\0":
            ranks = [v for v in environment.split("\0") if v.startswith("LOCAL_RANK=")]
            found[int(ranks[0].partition("=")[2]) if ranks else 0] = int(entry.name)
    return found


@pytest.mark.long
def test_two_processes_ask_for_the_samples_of_one(tmp_path: Path) -> None:
    finish(tmp_path / "one", *FIXED)
    printed = finish(tmp_path / "two", *FIXED, "trainer=ddp_cpu")
    assert answers(tmp_path / "two") == answers(tmp_path / "one")
    assert "run ended: max_rounds=3 is reached" in printed
    assert printed.count("round  labels") == 1, "only rank zero prints the table"


@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("moment", ["rounds/000/logs", "rounds/001", "rounds/001/best.ckpt"])
def test_a_killed_process_ends_the_run_and_it_goes_on(
    tmp_path: Path, rank: int, moment: str
) -> None:
    run_dir = tmp_path / "run"
    process = start(run_dir, *FIXED, "trainer=ddp_cpu")
    deadline = time.monotonic() + TIMEOUT
    while not (run_dir / moment).exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(processes_of(run_dir)[rank], signal.SIGKILL)
    printed, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode != 0, printed
    while processes_of(run_dir):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.1)
    finish(run_dir, *FIXED, "trainer=ddp_cpu")
    finish(tmp_path / "whole", *FIXED)
    assert answers(run_dir) == answers(tmp_path / "whole")
