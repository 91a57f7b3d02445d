"""Checkpoints that were emptied or altered are noticed before they are used."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from loop_run import Run
from tiny import LIGHTNING_WARNINGS

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.ordering_file import read_ordering

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.usefixtures("no_pictures")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = Run(tmp_path_factory.mktemp("runs") / "run")
    run.go(max_rounds=2)
    return run.path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(finished, tmp_path / "run")))


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "missing":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["missing", "empty", "altered"])
def test_the_round_is_trained_again_and_ends_equal(
    run: Run, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = run.directory.checkpoint_path(1)
    weights = torch.load(path, weights_only=True)["state_dict"]
    ranks = list(read_ordering(run.directory.ordering_path(1)))
    damage(path, how)
    run.go(max_rounds=2)
    assert run.trained == [11]
    again = torch.load(path, weights_only=True)["state_dict"]
    assert all(torch.equal(again[name], weights[name]) for name in weights)
    assert list(read_ordering(run.directory.ordering_path(1))) == ranks
    (line,) = [text for text in caplog.messages if "is trained again" in text]
    assert "001/best.ckpt: " in line
    assert "\n" not in line


def test_a_good_checkpoint_is_not_trained_again(run: Run) -> None:
    run.go(max_rounds=2)
    assert run.trained == []


def test_those_of_finished_rounds_are_not_needed(run: Run) -> None:
    damage(run.directory.checkpoint_path(0), "empty")
    run.go(max_rounds=2)
    assert run.trained == []


def test_ranks_that_were_made_again_need_a_decision(run: Run) -> None:
    ordering = run.directory.ordering_path(1)
    shutil.copy(ordering, ordering.with_name("ordering-1.parquet"))
    damage(run.directory.checkpoint_path(1), "altered")
    with pytest.raises(RunDirectoryError, match=r"best\.ckpt: .*SHA-256.*restore it, or delete"):
        run.go(max_rounds=2)
    assert run.trained == []


def test_one_of_an_earlier_version_is_only_seen_to_be_empty(run: Run) -> None:
    path = run.directory.metrics_path(1)
    facts = json.loads(path.read_text())
    del facts["files"]
    path.write_text(json.dumps(facts))
    damage(run.directory.checkpoint_path(1), "altered")
    run.go(max_rounds=2)
    assert run.trained == []
    damage(run.directory.checkpoint_path(1), "empty")
    run.go(max_rounds=2)
    assert run.trained == [11]


def test_it_is_on_disk_before_the_metrics_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path / "run")
    synced: list[Path] = []

    def note(path: Path) -> None:
        if path == run.directory.checkpoint_path(0):
            assert not run.directory.metrics_path(0).exists()
        synced.append(path)

    monkeypatch.setattr("lightning_badge.store.round_files.sync", note)
    run.go(max_rounds=1)
    assert synced == [run.directory.checkpoint_path(0), run.directory.round_path(0)]
