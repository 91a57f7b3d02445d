"""``fresh=true`` starts over once; the same command goes on with the run that it began."""

from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import one_line_errors

import pytest
from omegaconf import OmegaConf

from lightning_badge.app.fresh_start import (
    advice_of,
    begins_anew,
    forget_if_ended,
    how_to_go_on,
    remember,
)
from lightning_badge.exceptions import LabelError, RunDirectoryError
from lightning_badge.store.allowance import end
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory


def config(path: Path, **changes: Any) -> Any:
    plain = {
        "seed": 0,
        "initial_labels": 4,
        "cold_start": None,
        "model": {"lr": 1},
        "strategy": {"name": "badge"},
        "budget": {"k": 3},
        "max_rounds": 2,
        "fresh": True,
        "labelers": {"_target_": "x", "url": "${oc.env:NOBODY_SETS_IT}"},
        "data": {"_target_": "y", "path": "a"},
        "run_dir": str(path),
    }
    return OmegaConf.create(plain | changes)


def begin(path: Path) -> None:
    with RunDirectory(path) as directory:
        remember(directory, config(path))


def test_a_run_that_the_command_began_goes_on(tmp_path: Path) -> None:
    assert begins_anew(config(tmp_path))
    begin(tmp_path)
    assert not begins_anew(config(tmp_path))
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [(1, 0)], annotator="ann")
    assert not begins_anew(config(tmp_path))
    other_limits = {"max_rounds": 9, "data": {"_target_": "y", "path": "elsewhere"}}
    assert not begins_anew(config(tmp_path, **other_limits))


def test_another_run_is_moved_aside(tmp_path: Path) -> None:
    begin(tmp_path)
    assert begins_anew(config(tmp_path, seed=1))
    assert begins_anew(config(tmp_path, fresh="again"))
    assert not begins_anew(config(tmp_path, fresh=False))
    (tmp_path / "fresh.json").unlink()
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [(1, 0)], annotator="ann")
    assert begins_anew(config(tmp_path)), "a run that was begun without fresh=true"


def test_a_run_that_has_ended_is_moved_aside(tmp_path: Path) -> None:
    begin(tmp_path)
    with RunDirectory(tmp_path) as directory, LabelStore(directory.labels_path) as store:
        forget_if_ended(directory, store)
        assert not begins_anew(config(tmp_path))
        end(store.changes, 0, "max_rounds=2 is reached")
        assert begins_anew(config(tmp_path)), "also after a kill at the very end"
        forget_if_ended(directory, store)
    assert not (tmp_path / "fresh.json").exists()


@pytest.mark.parametrize("content", [b"", b"[", b"[1]", b"\xff", b'{"identity": 3}'])
def test_a_damaged_mark_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fresh.json").write_bytes(content)
    assert begins_anew(config(tmp_path))


def test_a_damaged_store_is_not_moved_aside_twice(tmp_path: Path) -> None:
    begin(tmp_path)
    (tmp_path / "labels.db").write_text("no database")
    assert not begins_anew(config(tmp_path))


@pytest.mark.parametrize("value", ["True", "maybe", 1, None])
def test_another_value_is_an_error(tmp_path: Path, value: Any) -> None:
    with pytest.raises(RunDirectoryError, match="fresh: expected true, false or again, got"):
        begins_anew(config(tmp_path, fresh=value))


@pytest.mark.parametrize(("fresh", "said"), [(True, "again"), (False, "true")])
def test_errors_say_what_starts_over(tmp_path: Path, fresh: bool, said: str) -> None:
    with (
        pytest.raises(LabelError, match=f"^lost; start over with fresh={said}$"),
        advice_of(config(tmp_path, fresh=fresh)),
    ):
        raise LabelError("lost; start over with fresh=true")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "again"),
        (["fresh=false"], "again"),
        (["seed=1", "fresh=true"], "without fresh=true"),
        (["+fresh=true", "seed=1"], r"without \+fresh=true"),
        (["fresh=true", "fresh=false"], "again"),
    ],
)
def test_a_command_that_was_stopped_names_the_one_that_goes_on(
    arguments: list[str], said: str
) -> None:
    assert how_to_go_on(arguments) == f"run the same command {said} to continue".replace("\\", "")


def test_an_interrupted_command_says_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["loop", "seed=1", "fresh=true"])
    with pytest.raises(SystemExit), one_line_errors():
        raise KeyboardInterrupt
    assert "run the same command without fresh=true to continue" in capsys.readouterr().err
