"""The command in which samples arrive: a simulation, and a folder that grows."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

pytest.importorskip("sklearn")
pytestmark = pytest.mark.slow

SIMULATED = [
    *("experiment=arrivals", "run_dir=run", "logger=none", "progress=false"),
    *("trainer.max_epochs=1", "trainer.accelerator=cpu"),
]


def loop(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lightning_badge", "loop", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def rows(folder: Path, query: str) -> list[tuple[object, ...]]:
    return sqlite3.connect(folder / "run" / "labels.db").execute(query).fetchall()


@pytest.mark.long
def test_a_simulation_in_which_samples_arrive_goes_on_as_it_began(tmp_path: Path) -> None:
    for folder, rounds in (("whole", [4]), ("parts", [2, 3, 4])):
        (tmp_path / folder).mkdir()
        for most in rounds:
            done = loop(tmp_path / folder, *SIMULATED, f"max_rounds={most}")
            assert done.returncode == 0, done.stderr
    for query in (
        "SELECT sample_id, label, round, rank FROM answers",
        "SELECT sample_id, facts FROM samples",
        "SELECT round, last_answer_id, last_sample FROM cuts",
    ):
        whole, parts = rows(tmp_path / "whole", query), rows(tmp_path / "parts", query)
        assert whole == parts
        assert whole
    asked = [key for (key,) in rows(tmp_path / "whole", "SELECT sample_id FROM answers")]
    assert len(asked) == len(set(asked)) == 150


@pytest.mark.long
def test_rows_that_are_appended_between_two_starts_join_the_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{a:.3f},{b:.3f},{'high' if a > 0 else 'low'}" for a, b in rng.normal(size=(400, 2))]

    def write(count: int) -> None:
        (tmp_path / "table.csv").write_text("\n".join(["a,b,label", *lines[:count]]) + "\n")

    command = [
        *("data=folder", "data.path=table.csv", "data.watch=true", "run_dir=run", "budget.k=20"),
        *("logger=none", "trainer.accelerator=cpu", "trainer.max_epochs=2", "export=false"),
    ]
    write(300)
    assert loop(tmp_path, *command, "max_rounds=2").returncode == 0
    write(400)
    done = loop(tmp_path, *command, "max_rounds=4")
    assert done.returncode == 0, done.stderr
    assert "100 samples arrived" in done.stderr
    assert len(rows(tmp_path, "SELECT * FROM samples")) == 400
    exported = subprocess.run(
        [sys.executable, "-m", "lightning_badge", "export", "run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert exported.returncode == 0, exported.stderr
    predicted = pq.read_table(tmp_path / "run" / "export" / "predictions.parquet")
    assert {str(n) for n in range(300, 400)} & set(map(str, predicted["sample_id"].to_pylist()))
