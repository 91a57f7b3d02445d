"""Runs the comparison as users do, in its own processes, on the digits."""

import logging
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")
pytest.importorskip("sklearn")

HERE = Path(__file__).parent
SCRIPT = HERE.parent.parent / "scripts" / "compare_strategies.py"

TINY = [
    *("trainer.max_steps=16", "trainer.val_check_interval=8", "trainer.accelerator=cpu"),
    *("model.width=2", "max_rounds=2", "logger=none"),
]
# Two strategies and two seeds; the first run is killed once, in its round 1.
COMMAND = [
    *TINY,
    *("strategies=[entropy,random]", "seeds=[0,1]", "budget.k=20", "out_dir=compared"),
    *("+callbacks.dies._target_=stand_ins.DiesTraining", "+callbacks.dies.mark=died"),
    "+callbacks.dies.round=${round.number}",
]
FILES = {"results.parquet", "results.csv", "learning_curves.png", "penalty_matrix.png", "report.md"}

Script = Callable[..., str | None]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Script]:
    """Runs the script in this process, to save the imports; a call returns the script's error."""
    loggers = [logging.getLogger(name) for name in ("", "hydra", "lightning.pytorch")]
    found = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    on_sigterm = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.syspath_prepend(SCRIPT.parent)

    def call(*overrides: str) -> str | None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *overrides])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as exit:
            return str(exit.code)
        return None

    yield call
    signal.signal(signal.SIGTERM, on_sigterm)
    for logger, (level, handlers, propagate) in zip(loggers, found, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


@pytest.mark.long
def test_a_comparison_continues_after_a_failed_run_and_after_a_kill(
    script: Script, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out_dir = tmp_path / "compared"
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), *COMMAND],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as killed:
        assert killed.stdout is not None
        assert killed.stderr is not None
        assert killed.stdout.readline() == "4 runs, 0 already finished\n"
        log = out_dir / "logs" / "entropy-fixed-seed0.log"
        died = f"failed: entropy-fixed-seed0: ended by signal 9 ({log})\n"
        assert killed.stderr.readline() == died
        assert killed.stdout.readline() == "2/4  random-fixed-seed0\n"
        killed.kill()
    finished = {path: path.stat() for path in out_dir.glob("runs/*/finished.json")}
    assert {path.parent.name for path in finished} == {"random-fixed-seed0"}
    assert {path.name for path in out_dir.iterdir()} == {"runs", "logs"}

    assert script(*COMMAND, "jobs=2") is None
    output = capfd.readouterr().out.splitlines()
    assert output[0] == "4 runs, 1 already finished"
    assert output[-1] == "compared/report.md"
    assert all(path.stat().st_mtime_ns == was.st_mtime_ns for path, was in finished.items())
    assert {path.name for path in out_dir.iterdir()} == {"runs", "logs", *FILES}
    rows = pq.read_table(out_dir / "results.parquet").to_pylist()
    assert [(row["seed"], row["strategy"], row["round"], row["labels"]) for row in rows] == [
        (seed, strategy, round, labels)
        for seed in (0, 1)
        for strategy in ("entropy", "random")
        for round, labels in enumerate((10, 30))
    ]
    # The first models of a seed are equal: same initial weights, labels and training.
    losses = [{row["val/loss"] for row in rows if row["round"] == round} for round in (0, 1)]
    assert [len(of_round) for of_round in losses] == [2, 4]

    # A cell is finished for one configuration only; run directories reject another one.
    error = script(*COMMAND, "model.width=3")
    assert error == (
        "error: 4 of 4 runs failed, so no report was written; the same command runs only the "
        "failed ones again"
    )
    output = capfd.readouterr().err.splitlines()
    assert len(output) == 4
    assert all("model.width: stored 2, now 3" in line for line in output)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("strategies=[badge,nope]", "Could not find 'strategy/nope' Available options"),
        ("seeds=[0]", "seeds: expected at least 2 for an interval or a test, got 1"),
        ("seeds=[1,1]", "seeds: expected at least one and no repetitions, got [1, 1]"),
        ("seed=3", "seed=3: differs between runs; set seeds= instead"),
        ("+budgets.few=['budget.typo=1']", "no key 'budget.typo' in the configuration"),
        ("contestants=seed", "contestants: expected strategy or budget, got 'seed'"),
        ("confidence=90", "confidence: expected a number between 0 and 1, got 90"),
        ("jobs=0", "jobs: expected a positive integer, got 0"),
    ],
)
def test_errors_that_a_user_can_fix_are_one_line_before_any_run(
    script: Script, tmp_path: Path, override: str, says: str
) -> None:
    error = script(*TINY, override)
    assert error is not None
    assert error.startswith("error: ")
    assert says in error
    assert "\n" not in error
    assert list(tmp_path.iterdir()) == []
