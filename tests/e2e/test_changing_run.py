"""Budgets and priorities of real runs: killed, changed and started again; and the experiments."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_badge.store.label_store import LabelStore

pytest.importorskip("sklearn")

TINY = ["trainer.max_steps=20", "trainer.val_check_interval=10", "trainer.accelerator=cpu"]
COST = ["budget=cost", "budget.limit=3", "budget.price=0.1", "budget.k=6"]
LOOP = [*TINY, *COST, "run_dir=run", "progress=false"]


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "lightning_badge", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def execute(folder: Path, *arguments: str) -> str:
    process = start(folder, *arguments)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def kill_after_round(folder: Path, round: int) -> None:
    """Runs the loop until it says that a round is finished, and kills it."""
    process = start(folder, "loop", *LOOP)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(f"  {round:03d}"):
            break
    process.kill()
    process.communicate()


@pytest.mark.long
def test_a_killed_run_goes_on_with_what_was_changed(tmp_path: Path) -> None:
    kill_after_round(tmp_path, 0)
    execute(tmp_path, "budget", "run", "limit=2.1", "--as", "ann")
    kill_after_round(tmp_path, 1)
    execute(tmp_path, "prioritise", "run", "--exclude", "1*", "--as", "bob")
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        before = store.last_answer_id()
    out = execute(tmp_path, "loop", *LOOP)
    assert out.splitlines()[-1] == "run ended: the money is used up: 2.10 of 2.10"
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        answers = store.answers()
        who = [
            change.facts["who"]
            for kind in ("budget", "priorities")
            for change in store.changes.of(kind)
        ]
    assert who == ["ann", "bob"]
    assert len({answer.sample_id for answer in answers}) == len(answers) == 21
    assert sum(answer.cost or 0.0 for answer in answers) == pytest.approx(2.1)
    later = [answer.sample_id for answer in answers if answer.answer_id > before]
    assert later
    assert not [sample_id for sample_id in later if str(sample_id).startswith("1")]
    assert "limit: 3 -> 2.1" in execute(tmp_path, "status", "run")


EXPERIMENTS = {
    "money": "the money is used up: 12 of 12",
    "changing_hours": "the deadline 2026-01-09T18:00+00:00 is near: a training takes 1800 s",
    "priorities": "max_rounds=5 is reached",
}


@pytest.mark.long
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_each_experiment_runs_offline(experiment: str, tmp_path: Path) -> None:
    out = execute(tmp_path, "loop", f"experiment={experiment}", "run_dir=run", *TINY)
    assert out.splitlines()[-1] == f"run ended: {EXPERIMENTS[experiment]}"
