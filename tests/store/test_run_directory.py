import json
import os
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.store.run_directory import RunDirectory

IDENTITY = ["seed", "strategy", "data.name"]
CONFIG: dict[str, Any] = {
    "seed": 0,
    "strategy": {"name": "badge", "first_center": "uniform", "classes": ["räv", "katt"]},
    "data": {"name": "digits", "num_workers": 2},
    "max_rounds": 3,
}


def changed(**by_dotted_key: Any) -> dict[str, Any]:
    config = deepcopy(CONFIG)
    for dotted, value in by_dotted_key.items():
        *branches, leaf = dotted.split("__")
        branch = config
        for name in branches:
            branch = branch[name]
        branch[leaf] = value
    return config


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDirectory]:
    with RunDirectory(tmp_path / "runs" / "digits") as run:
        yield run


def test_paths_of_all_files() -> None:
    run = RunDirectory("runs/digits")
    paths = [
        run.config_path,
        run.labels_path,
        run.learning_curve_csv_path,
        run.learning_curve_png_path,
        run.ordering_path(0),
        run.metrics_path(12),
        run.checkpoint_path(1234),
    ]
    assert [str(path.relative_to(run.path)) for path in paths] == [
        "config.yaml",
        "labels.db",
        "learning_curve.csv",
        "learning_curve.png",
        "rounds/000/ordering.parquet",
        "rounds/012/metrics.json",
        "rounds/1234/best.ckpt",
    ]
    assert not run.path.exists()


def test_the_path_does_not_follow_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDirectory("runs/digits")
    monkeypatch.chdir("/")
    assert run.path == tmp_path.resolve() / "runs" / "digits"


def test_a_home_directory_may_be_abbreviated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/nobody")
    assert RunDirectory("~/runs").path == Path("/home/nobody/runs")


class TestEntering:
    def test_it_creates_the_folder_and_can_be_repeated(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path / "a" / "b")
        for _ in range(2):
            with run:
                assert [entry.name for entry in run.path.iterdir()] == ["run.lock"]

    def test_a_second_process_gets_an_error_that_names_the_first(self, run: RunDirectory) -> None:
        with (
            pytest.raises(RunDirectoryError, match=rf"digits: in use by process {os.getpid()} on "),
            RunDirectory(run.path),
        ):
            pass

    def test_a_folder_with_other_files_is_an_error_and_is_not_changed(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("42")
        (tmp_path / "config.yaml").write_text("seed: 0")
        with (
            pytest.raises(RunDirectoryError, match=r"other files in it \('config\.yaml', 'thesis"),
            RunDirectory(tmp_path),
        ):
            pass
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["config.yaml", "thesis.tex"]

    def test_a_path_to_a_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "run").touch()
        for path in (tmp_path / "run", tmp_path / "run" / "below"):
            with (
                pytest.raises(RunDirectoryError, match="cannot be used as a folder"),
                RunDirectory(path),
            ):
                pass

    def test_is_required_for_writing(self, tmp_path: Path) -> None:
        run = RunDirectory(tmp_path)
        for write in (
            lambda: run.ensure_identity(CONFIG, IDENTITY),
            run.start_over,
            lambda: run.clear_round(0),
            lambda: run.write_metrics(0, {}),
            lambda: run.write_text(run.learning_curve_csv_path, ""),
        ):
            with pytest.raises(RunDirectoryError, match="enter the run directory"):
                write()
        assert list(tmp_path.iterdir()) == []


HOLD_AND_FORK = """
import os, sys
from lightning_badge.store.run_directory import RunDirectory

RunDirectory(sys.argv[1]).__enter__()
if os.fork() == 0:  # as a DataLoader does for its workers
    print(os.getpid(), flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_the_lock_of_a_killed_process_is_released_although_its_workers_live(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_AND_FORK, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        worker = int(holder.stdout.readline())
        with (
            pytest.raises(RunDirectoryError, match=rf"in use by process {holder.pid} on "),
            RunDirectory(tmp_path),
        ):
            pass
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # still there
        with RunDirectory(tmp_path):
            pass


class TestIdentity:
    def test_a_new_run_stores_its_configuration_as_readable_yaml(self, run: RunDirectory) -> None:
        run.ensure_identity(CONFIG, IDENTITY)
        text = run.config_path.read_text(encoding="utf-8")
        assert yaml.safe_load(text) == CONFIG
        assert text.startswith("seed: 0\nstrategy:\n  name: badge\n")
        assert "- räv\n" in text

    def test_an_equal_configuration_is_accepted_and_not_rewritten(self, run: RunDirectory) -> None:
        run.ensure_identity(CONFIG, IDENTITY)
        run.config_path.write_text(run.config_path.read_text() + "# a note of the operator\n")
        again = changed(strategy__classes=("räv", "katt"))
        run.ensure_identity(again, IDENTITY)
        assert "a note of the operator" in run.config_path.read_text()

    def test_other_keys_may_differ_and_are_updated(self, run: RunDirectory) -> None:
        run.ensure_identity(CONFIG, IDENTITY)
        longer = changed(max_rounds=9, data__num_workers=0)
        run.ensure_identity(longer, IDENTITY)
        assert yaml.safe_load(run.config_path.read_text()) == longer

    def test_the_error_lists_every_difference_and_the_solutions(self, run: RunDirectory) -> None:
        run.ensure_identity(CONFIG, IDENTITY)
        other = changed(seed=1, strategy__first_center="max_norm", strategy__bias=True)
        del other["strategy"]["classes"]
        stored = run.config_path.read_bytes()
        with pytest.raises(RunDirectoryError) as caught:
            run.ensure_identity(other, IDENTITY)
        assert str(caught.value) == (
            f"{run.path}: holds a run of another configuration (seed: stored 0, now 1; "
            "strategy.first_center: stored 'uniform', now 'max_norm'; "
            "strategy.classes: stored ['räv', 'katt'], now nothing; "
            "strategy.bias: stored nothing, now True); "
            "give the stored values to go on with it, choose another run_dir, or start over with "
            "fresh=true (keeps the old run aside)"
        )
        assert run.config_path.read_bytes() == stored

    def test_of_another_strategy_the_error_says_only_the_name(self, run: RunDirectory) -> None:
        run.ensure_identity(CONFIG | {"strategy": {"name": "badge", "trials": 1}}, IDENTITY)
        other = CONFIG | {"strategy": {"name": "uherding", "sigma": "neighbour"}}
        with pytest.raises(RunDirectoryError) as caught:
            run.ensure_identity(other, IDENTITY)
        assert "(strategy: stored 'badge', now 'uherding'); " in str(caught.value)

    def test_of_other_data_the_error_says_all_arguments(self, run: RunDirectory) -> None:
        keys = [*IDENTITY, "data.val_size"]
        run.ensure_identity(CONFIG | {"data": {"name": "wine", "val_size": 1}}, keys)
        with pytest.raises(RunDirectoryError) as caught:
            run.ensure_identity(CONFIG | {"data": {"name": "iris", "val_size": 2}}, keys)
        assert "(data.name: stored 'wine', now 'iris'; data.val_size: stored 1" in str(caught.value)

    def test_a_key_with_the_same_prefix_is_another_key(self, run: RunDirectory) -> None:
        run.ensure_identity(CONFIG | {"seed_of_workers": 1}, IDENTITY)
        run.ensure_identity(CONFIG | {"seed_of_workers": 2}, IDENTITY)

    def test_a_missing_identity_key_is_an_error(self, run: RunDirectory) -> None:
        with pytest.raises(RunDirectoryError, match=r"\['data\.nmae'\]: not in the configuration"):
            run.ensure_identity(CONFIG, ["seed", "data.nmae"])

    def test_a_configuration_with_objects_is_an_error(self, run: RunDirectory) -> None:
        with pytest.raises(RunDirectoryError, match=r"plain values.*OmegaConf\.to_container"):
            run.ensure_identity(CONFIG | {"run_dir": run.path}, IDENTITY)
        assert not run.config_path.exists()

    @pytest.mark.parametrize("content", [b"", b"seed: [0", b"- seed\n", b"\xff\xfe\x00"])
    def test_a_damaged_configuration_is_an_error_in_one_line(
        self, run: RunDirectory, content: bytes
    ) -> None:
        run.config_path.write_bytes(content)
        with pytest.raises(RunDirectoryError, match=r"config\.yaml: not the conf.*fresh=true") as e:
            run.ensure_identity(CONFIG, IDENTITY)
        assert "\n" not in str(e.value)
        assert run.config_path.read_bytes() == content

    def test_labels_without_a_configuration_are_an_error(self, run: RunDirectory) -> None:
        run.labels_path.touch()
        with pytest.raises(RunDirectoryError, match="missing, but the folder contains labels"):
            run.ensure_identity(CONFIG, IDENTITY)


class TestStartingOver:
    def test_a_new_directory_has_nothing_to_move(self, run: RunDirectory) -> None:
        assert run.start_over() is None
        assert [entry.name for entry in run.path.parent.iterdir()] == ["digits"]

    def test_earlier_runs_are_kept_and_their_new_paths_are_logged(
        self, run: RunDirectory, caplog: pytest.LogCaptureFixture
    ) -> None:
        for number in (1, 2):
            run.ensure_identity(changed(seed=number), IDENTITY)
            run.labels_path.write_text(f"labels {number}")
            run.write_metrics(0, {"accuracy": 0.5})
            aside = run.path.with_name(f"digits.old-{number}")
            assert run.start_over() == aside
            assert (aside / "labels.db").read_text() == f"labels {number}"
            assert (aside / "rounds" / "000" / "metrics.json").exists()
            assert [entry.name for entry in run.path.iterdir()] == ["run.lock"]
            assert str(aside) in caplog.text

    def test_the_new_directory_is_locked_and_the_old_one_is_not(self, run: RunDirectory) -> None:
        run.ensure_identity(CONFIG, IDENTITY)
        aside = run.start_over()
        assert aside is not None
        with pytest.raises(RunDirectoryError, match="in use"), RunDirectory(run.path):
            pass
        with RunDirectory(aside) as old:
            old.ensure_identity(CONFIG, IDENTITY)

    def test_a_link_to_another_disk_stays_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "scratch").mkdir()
        (tmp_path / "run").symlink_to(tmp_path / "scratch")
        with RunDirectory(tmp_path / "run") as run:
            run.write_text(run.learning_curve_csv_path, "round\n")
            assert run.start_over() == tmp_path.resolve() / "scratch.old-1"
        assert (tmp_path / "run").is_symlink()

    def test_a_folder_that_cannot_be_moved_is_an_error_and_stays_locked(
        self, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.labels_path.touch()

        def refuse(*paths: object) -> None:
            raise PermissionError("not yours")

        monkeypatch.setattr(Path, "rename", refuse)
        with pytest.raises(RunDirectoryError, match=r"cannot be moved to .*old-1: not yours"):
            run.start_over()
        assert run.labels_path.exists()
        with pytest.raises(RunDirectoryError, match="in use"), RunDirectory(run.path):
            pass


class TestRounds:
    def test_clearing_removes_only_the_files_of_that_round(self, run: RunDirectory) -> None:
        run.write_metrics(0, {})
        assert run.clear_round(1) == run.round_path(1)
        run.checkpoint_path(1).write_bytes(b"half")
        run.clear_round(1)
        assert list(run.round_path(1).iterdir()) == []
        assert run.metrics_path(0).exists()

    def test_metrics_are_strict_json(self, run: RunDirectory) -> None:
        run.write_metrics(3, {"accuracy": 0.5, "loss": float("nan"), "sizes": (1, 2)})
        assert json.loads(run.metrics_path(3).read_text()) == {
            "accuracy": 0.5,
            "loss": None,
            "sizes": [1, 2],
        }

    def test_metrics_with_objects_are_an_error(self, run: RunDirectory) -> None:
        with pytest.raises(RunDirectoryError, match="expected numbers, strings"):
            run.write_metrics(0, {"model": object()})

    def test_a_failed_write_keeps_the_previous_file(self, run: RunDirectory) -> None:
        run.write_text(run.learning_curve_csv_path, "round,accuracy\n")
        with pytest.raises(UnicodeEncodeError):
            run.write_text(run.learning_curve_csv_path, "\udc80")
        assert run.learning_curve_csv_path.read_text() == "round,accuracy\n"
        assert sorted(entry.name for entry in run.path.iterdir()) == [
            "learning_curve.csv",
            "run.lock",
        ]


def test_the_configuration_of_a_failed_first_start_is_replaced(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as run:
        run.ensure_identity(CONFIG, IDENTITY)
        run.labels_path.touch()
        run.ensure_identity(changed(seed=7), IDENTITY, begun=False)
        run.ensure_identity(changed(seed=7), IDENTITY)
        with pytest.raises(RunDirectoryError, match="seed: stored 7"):
            run.ensure_identity(changed(seed=8), IDENTITY)
