"""The command on real run directories: it reads them, also while they change."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import forked
import pytest

from lightning_badge.app.main import main
from lightning_badge.store.label_store import LabelStore

RUN_V1 = Path(__file__).parent.parent.parent / "data" / "run_v1"


@pytest.fixture(autouse=True)
def path_of_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def run_v1(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUN_V1, tmp_path / "run"))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def status(run: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    main(["status", str(run), *options])
    return capsys.readouterr().out


def test_a_run_of_an_earlier_version_is_shown_and_not_changed(
    run_v1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run_v1)
    printed = status(run_v1, capsys)
    assert "10 labels from annotators, and 10 initial ones; 3 skipped" in printed
    assert "+0.0667" in printed
    assert contents(run_v1) == before


def test_json_holds_the_same_facts(run_v1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(status(run_v1, capsys, "--json"))
    assert [row["labels"] for row in facts["rounds"]] == [4, 6]
    assert (facts["labels"], facts["skipped"], facts["holder"]) == (10, 3, None)
    assert facts["annotators"][0]["annotator"] == "dataset"
    assert facts["outlook"]["reason"] == "the number of validation samples is not known"


def test_a_backup_is_a_label_store(run_v1: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(run_v1)
    copy = run_v1.parent / "copies" / "labels.db"
    printed = status(run_v1, capsys, "--backup", str(copy))
    assert f"label store copied to {copy}" in printed
    assert f"with it belong {run_v1 / 'config.yaml'} and {run_v1 / 'rounds'}" in printed
    assert contents(run_v1) == before
    with LabelStore(copy) as store:
        assert len(store.labels()) == 10


@pytest.mark.parametrize(
    ("break_it", "expected"),
    [
        (shutil.rmtree, "expected a run directory, but there is none"),
        (lambda run: (run / "labels.db").unlink(), "a folder without labels.db;"),
        (lambda run: (run / "config.yaml").unlink(), "a folder without config.yaml;"),
        (lambda run: (run / "config.yaml").write_text("[1]"), "config.yaml: expected a mapping"),
        (lambda run: (run / "config.yaml").write_text("a: ["), "config.yaml: cannot be read"),
        (lambda run: (run / "labels.db").write_bytes(b"x" * 999), "labels.db: cannot be copied"),
        (
            lambda run: (run / "rounds" / "001" / "metrics.json").write_text("{}"),
            "metrics.json: expected the results of a round",
        ),
        (
            lambda run: (run / "rounds" / "000" / "ordering.parquet").write_bytes(b"x"),
            "ordering.parquet: expected a Parquet ordering file",
        ),
    ],
)
def test_what_is_no_run_is_one_line(
    run_v1: Path, capsys: pytest.CaptureFixture[str], break_it: Any, expected: str
) -> None:
    break_it(run_v1)
    with pytest.raises(SystemExit) as exit:
        main(["status", str(run_v1)])
    printed = capsys.readouterr()
    assert exit.value.code == 1
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert expected in printed.err


def test_a_backup_never_replaces_the_store_itself(
    run_v1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run_v1)
    with pytest.raises(SystemExit):
        main(["status", str(run_v1), "--backup", str(run_v1 / "labels.db")])
    assert "--backup: expected a new file" in capsys.readouterr().err
    assert contents(run_v1) == before


@pytest.mark.slow
def test_a_loop_is_shown_while_it_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn")
    command = [
        *("loop", "run_dir=run", "max_rounds=4"),
        *("trainer.max_steps=30", "trainer.val_check_interval=15", "trainer.accelerator=cpu"),
        *("budget=schedule", "budget.sizes=[5,5,5]"),
    ]
    run = tmp_path / "run"
    seen = []
    loop = forked.start(tmp_path, *command)
    while loop.is_alive():
        if (run / "config.yaml").exists():
            seen.append(json.loads(status(run, capsys, "--json")))
        loop.join(0.4)  # leaves it the core
    done = forked.ended(tmp_path, loop)
    assert done.status == 0, done.err
    counts = [len(facts["rounds"]) for facts in seen]
    assert counts == sorted(counts)
    assert any(facts["holder"] for facts in seen)
    last = json.loads(status(run, capsys, "--json"))
    assert [row["labeled"] for row in last["rounds"]] == [10, 15, 20, 25]
    assert last["holder"] is None
    assert "max_rounds=4 is reached" in last["next_step"]
    assert len(last["next_samples"]) == 10
    assert last["next_samples"][0]["guess"] in set("0123456789")
    assert last["time"]["trainer_idle_s"] >= 0


def test_a_store_that_has_lost_answers_is_said(
    run_v1: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run_v1 / "labels.db").unlink()
    LabelStore(run_v1 / "labels.db").close()
    step = json.loads(status(run_v1, capsys, "--json"))["next_step"]
    assert "labels.db: expected what round 1 was trained on, got nothing" in step
    assert "accept_loss=true" in step
