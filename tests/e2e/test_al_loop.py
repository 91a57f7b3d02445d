"""Runs the script as users do, in its own process, on the digits."""

import logging
import os
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import forked
import numpy as np
import pytest
from printed import printed_rounds

from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.label_store import LabelStore

pytest.importorskip("sklearn")

HERE = Path(__file__).parent
SCRIPT = HERE.parent.parent / "scripts" / "al_loop.py"

TINY = ["trainer.max_steps=20", "trainer.val_check_interval=10", "trainer.accelerator=cpu"]
# The command that is run, killed, and run again without changes.
COMMAND = [
    *TINY,
    *("budget.k=12", "max_rounds=3", "run_dir=run", "labelers.skip_fraction=0.2"),
    *("labelers._target_=stand_ins.dies_answering", "+labelers.mark=died_answering"),
    *("+callbacks.dies._target_=stand_ins.DiesTraining", "+callbacks.dies.mark=died_training"),
    "+callbacks.dies.round=${round.number}",
]


def execute(folder: Path, *overrides: str) -> "subprocess.CompletedProcess[str]":
    path = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [sys.executable, str(SCRIPT), *overrides],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def labels(run: Path) -> dict[int, int]:
    with LabelStore(run / "labels.db") as store:
        return store.labels()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    for mark in ("died_answering", "died_training"):
        (folder / mark).touch()
    done = execute(folder, *COMMAND)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == str(folder / "run")
    assert [cells[:3] for cells in printed_rounds(done.stdout)] == [
        *(["000", "10", "12"], ["001", "22", "12"], ["002", "34", "-"])
    ]
    assert [line.split(":")[0].strip() for line in (lines[4], lines[6])] == [
        "the last 12 labels"
    ] * 2
    assert lines[7:] == ["run ended: max_rounds=3 is reached"]
    return folder / "run"


def test_a_run_writes_its_files_and_nothing_else(whole: Path) -> None:
    assert {path.name for path in whole.parent.iterdir()} == {
        *("run", "died_answering", "died_training")
    }
    files = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    of_rounds = {
        f"rounds/{round:03d}/{name}"
        for round in range(3)
        for name in (
            *("ordering.parquet", "metrics.json", "best.ckpt"),
            *("logs/metrics.csv", "logs/hparams.yaml"),
        )
    }
    of_run = {"config.yaml", "labels.db", "learning_curve.csv", "queries.csv", "run.lock"}
    picture = {"learning_curve.png"} if find_spec("matplotlib") else set()
    assert files == of_rounds | of_run | picture
    ordering = read_ordering(whole / "rounds" / "000" / "ordering.parquet")
    assert len(ordering) == 1427
    assert ordering.metadata["round"] == 0
    assert "badge/pool_size" in (whole / "rounds" / "000" / "logs" / "metrics.csv").read_text()


def test_a_run_killed_while_asking_and_in_training_ends_like_an_uninterrupted_one(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(HERE)
    first = forked.run(tmp_path, "loop", *COMMAND)
    assert first.status == -signal.SIGKILL, first.err
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        assert len(store.answers(0)) == 9
        assert store.finished_rounds() == []
    second = forked.run(tmp_path, "loop", *COMMAND)
    assert second.status == -signal.SIGKILL, second.err
    assert (tmp_path / "died_training").exists()
    assert not (tmp_path / "run" / "rounds" / "001" / "metrics.json").exists()
    third = forked.run(tmp_path, "loop", *COMMAND)
    assert (third.status, third.err) == (0, "")

    assert labels(tmp_path / "run") == labels(whole)
    curves = [(run / "learning_curve.csv").read_text() for run in (tmp_path / "run", whole)]
    assert curves[0] == curves[1]


def test_an_error_is_one_line_on_stderr_with_exit_status_1(tmp_path: Path) -> None:
    failed = forked.run(tmp_path, "loop", "budget=nope")
    assert failed.status == 1
    assert failed.out == ""
    assert failed.err == (
        "error: In 'al_loop': Could not find 'budget/nope' Available options in 'budget': "
        "all_of any_of cost coverage deadline fixed on_demand schedule until variable\n"
    )
    assert {path.suffix for path in tmp_path.iterdir()} == {".out", ".err"}  # what it printed


Script = Callable[..., str | None]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_pictures: None) -> Iterator[Script]:
    """Runs the script in this process, to save the imports; a call returns the script's error."""
    loggers = [logging.getLogger(name) for name in ("", "hydra", "lightning.pytorch")]
    found = [(logger.level, logger.handlers[:], logger.propagate) for logger in loggers]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.syspath_prepend(SCRIPT.parent)

    def call(*overrides: str) -> str | None:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *overrides, *TINY])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as exit:
            return str(exit.code)
        return None

    yield call
    for logger, (level, handlers, propagate) in zip(loggers, found, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
        logger.propagate = propagate


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("budget.k=-3", "budget.k: expected a positive integer, got -3"),
        ("budget.typo=3", "no key 'budget.typo' in the configuration"),
        ("+model.typo=3", "unexpected keyword argument 'typo'"),
        ("strategy.name=nope", "strategy: expected one of badge, "),
        ("+strategy.depth=40", "strategy 'badge' takes first_center, trials; got depth"),
        ("strategy.first_center=last", "expected one of uniform, max_norm, origin, got 'last'"),
        ("max_rounds=0", "max_rounds: expected a positive integer, or null for none, got 0"),
        ("metric=val/f1", "could not find the monitored key in the returned metrics"),
        ("initial_labels=1437", "the pool is empty at the start: all 1437 samples are labeled"),
        ("initial_labels=0", "no sample is labeled"),
        ("model._target_=stand_ins.NoLinearLayer", "linear layer"),
        ("model.lr=1e30", "NaN"),
        ("logger._target_=stand_ins.NeedsAPackage", "pip install -U 'no-such-package>=1.0'"),
        ("data.batch_size=0", "batch_size: expected an integer of 1 or more, got 0"),
        ("data.num_workers=-1", "num_workers: expected an integer of 0 or more, got -1"),
        ("model=transformer", "model.vocabulary: expected a value from the data, got none; choose"),
        ("data=tabular", "model.in_channels: expected a value from the data, got none; choose"),
    ],
)
def test_errors_that_a_user_can_fix_are_one_line(script: Script, override: str, says: str) -> None:
    error = script(override)
    assert error is not None
    assert error.startswith("error: ")
    assert says in error
    assert "\n" not in error


def test_an_unknown_strategy_argument_creates_no_run_directory(
    script: Script, tmp_path: Path
) -> None:
    error = script("strategy=entropy", "+strategy.depth=40", "run_dir=run")
    assert error == (
        "error: BadgeCallback: strategy 'entropy' takes no arguments of its own; got depth"
    )
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_of_a_failed_first_start_may_be_corrected(script: Script) -> None:
    same_run = ("run_dir=run", "max_rounds=1")
    assert "NaN" in (script("model.lr=1e30", *same_run) or "")
    assert script(*same_run) is None
    assert "holds a run of another configuration" in (script("model.lr=0.1", *same_run) or "")


def test_missing_data(script: Script, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    error = script("data=mnist", f"data.path={tmp_path}/nowhere")
    assert error is not None
    assert f"{tmp_path}/nowhere" in error
    assert "\n" not in error


def test_a_bug_keeps_its_traceback(script: Script) -> None:
    with pytest.raises(ZeroDivisionError, match="a bug"):
        script("model._target_=stand_ins.Buggy")


def test_a_run_of_another_configuration_is_an_error_and_kept_with_fresh(
    script: Script, tmp_path: Path
) -> None:
    arguments = ("run_dir=run", "max_rounds=2", "budget.k=3", "logger=none")
    assert script(*arguments) is None
    error = script(*arguments, "seed=1", "model.hidden=64")
    assert error is not None
    assert "seed: stored 0, now 1" in error
    assert "model.hidden: stored 128, now 64" in error
    assert "fresh=true" in error
    before = labels(tmp_path / "run")
    assert script(*arguments, "seed=1", "fresh=true") is None
    assert labels(tmp_path / "run.old-1") == before


@pytest.mark.long
def test_limits_logger_and_loading_of_data_may_change(script: Script, tmp_path: Path) -> None:
    arguments = ("run_dir=run", "budget.k=3")
    assert script(*arguments, "max_rounds=1") is None
    more = ("total_labels=15", "logger=none", "data.num_workers=1")
    assert script(*arguments, *more) is None
    assert len(labels(tmp_path / "run")) == 5


def test_data_may_be_moved_but_not_changed(script: Script, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def write(folder: Path, first_label: int) -> str:
        features = datasets.Features(
            image=datasets.Image(), label=datasets.ClassLabel(names=["odd", "even"])
        )
        images = [np.full((8, 8), n, dtype=np.uint8) for n in range(40)]
        rows = {"image": images, "label": [first_label, *(n % 2 for n in range(1, 40))]}
        for split in ("train", "test"):
            folder.mkdir(exist_ok=True)
            table = datasets.Dataset.from_dict(rows, features=features)
            table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return f"data.path={folder}"

    arguments = ("run_dir=run", "data=huggingface", "max_rounds=1", "logger=none")
    assert script(*arguments, write(tmp_path / "here", 0)) is None
    assert script(*arguments, write(tmp_path / "there", 0)) is None
    error = script(*arguments, write(tmp_path / "there", 1))
    assert error is not None
    assert "data_fingerprint: stored" in error


@pytest.mark.parametrize(
    ("experiment", "smaller"),
    [("tabular", ()), ("text", ("data.length=8", "data.vocabulary=300", "model.layers=1"))],
)
def test_tables_and_texts_run_like_images(
    script: Script, tmp_path: Path, experiment: str, smaller: tuple[str, ...]
) -> None:
    pytest.importorskip("transformers")
    tiny = ("run_dir=run", "max_rounds=2", "budget.k=3", "logger=none")
    assert script(f"experiment={experiment}", *tiny, *smaller) is None
    with LabelStore(tmp_path / "run" / "labels.db") as store:
        asked = list(store.labels())
    assert (
        asked == read_ordering(tmp_path / "run/rounds/000/ordering.parquet").sample_ids[:3].tolist()
    )


@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_models_get_the_shape_of_the_data(script: Script, tmp_path: Path, model: str) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(num_classes=2))
    images = [np.full((9, 11, 3), n, dtype=np.uint8) for n in range(30)]
    rows = {"image": images, "label": [n % 2 for n in range(30)]}
    for split in ("train", "test"):
        datasets.Dataset.from_dict(rows, features=features).to_parquet(
            tmp_path / f"{split}.parquet"
        )
    arguments = ("data=huggingface", f"data.path={tmp_path}", f"model={model}", "max_rounds=1")
    assert script(*arguments, "logger=none") is None


def test_a_damaged_ordering_is_reported_and_fixed_by_deleting_it(
    script: Script, tmp_path: Path
) -> None:
    arguments = ("run_dir=run", "max_rounds=1", "logger=none")
    assert script(*arguments) is None
    path = tmp_path / "run" / "rounds" / "000" / "ordering.parquet"
    path.write_bytes(path.read_bytes()[:1000])
    error = script(*arguments)
    assert error is not None
    assert str(path) in error
    assert "delete it" in error
    assert "\n" not in error
    path.unlink()
    assert script(*arguments) is None
    assert len(read_ordering(path)) == 1427


def test_each_job_of_a_sweep_has_its_own_run_directory(script: Script, tmp_path: Path) -> None:
    error = script("-m", "strategy=entropy,random", "max_rounds=1", "logger=none")
    assert error is None
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        *("digits-cnn-entropy-fixed-seed0", "digits-cnn-random-fixed-seed0", "multirun.yaml")
    }


@pytest.mark.long
def test_a_run_of_schema_1_killed_while_asking_goes_on(tmp_path: Path) -> None:
    arguments = ["budget=schedule", "budget.sizes=[4,12]", "labelers.skip_fraction=0.2"]
    command = [*TINY, *arguments, "max_rounds=3", "run_dir=run", "logger=none"]
    shutil.copytree(HERE.parent / "data" / "run_v1", tmp_path / "run")
    (tmp_path / "run" / "run.lock").touch()
    (tmp_path / "whole").mkdir()
    for folder in (tmp_path, tmp_path / "whole"):
        done = execute(folder, *command)
        assert (done.returncode, done.stderr) == (0, "")
    runs = [tmp_path / "run", tmp_path / "whole" / "run"]
    assert list(labels(runs[0])) == list(labels(runs[1]))
    assert labels(runs[0]) == labels(runs[1])
    curves = [(run / "learning_curve.csv").read_text() for run in runs]
    assert curves[0] == curves[1]


def test_a_lost_label_store_is_refused_until_the_loss_is_accepted(
    script: Script, tmp_path: Path
) -> None:
    arguments = ("run_dir=run", "max_rounds=2", "budget.k=3", "logger=none")
    assert script(*arguments) is None
    (tmp_path / "run" / "labels.db").unlink()
    error = script(*arguments)
    assert error is not None
    assert "labels.db: expected the 3 answers that round 1 was trained on, got no file" in error
    assert "accept_loss=true" in error
    assert not (tmp_path / "run" / "labels.db").exists()
    assert script(*arguments, "accept_loss=true") is None
    assert len(labels(tmp_path / "run")) == 3
    assert (tmp_path / "run" / "rounds.lost-1" / "001" / "metrics.json").exists()
    assert "accept_loss" not in (tmp_path / "run" / "config.yaml").read_text()


def test_a_fresh_run_that_has_not_ended_goes_on(script: Script, tmp_path: Path) -> None:
    arguments = ("run_dir=run", "labelers=files", "budget.k=3", "logger=none", "fresh=true")
    assert script(*arguments) is None
    metrics = tmp_path / "run" / "rounds" / "000" / "metrics.json"
    trained = metrics.stat().st_ino
    assert script(*arguments) is None
    assert metrics.stat().st_ino == trained
    error = script(*arguments[:-1], "fresh=true", "data.batch_size=7")
    assert error is None, "another run, which starts over"
    assert (tmp_path / "run.old-1" / "rounds" / "000" / "metrics.json").stat().st_ino == trained
    assert {path.name for path in tmp_path.iterdir()} == {"run", "run.old-1"}
    assert script(*arguments[:-1], "fresh=again", "data.batch_size=7") is None
    assert (tmp_path / "run.old-2").is_dir()
