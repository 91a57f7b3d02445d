import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from lightning_badge.labels import SKIP
from lightning_badge.loop.learning_curve import LearningCurve, learning_curve_csv
from lightning_badge.loop.query_composition import query_compositions
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.store.run_directory import RunDirectory

REPORTS = [
    RoundReport(0, 20, 80, {"val_loss": 1.5, "val_accuracy": 0.5}, seconds=1.0, query_size=30),
    RoundReport(1, 50, 50, {"val_loss": None, "val_accuracy": 2 / 3}, seconds=2.0),
]


def test_the_table_has_a_line_per_round_and_a_column_per_metric() -> None:
    assert learning_curve_csv(REPORTS, "val_accuracy", target=0.6).splitlines() == [
        "round,labels,val_loss,val_accuracy,area_under_learning_curve,labels_to_reach_0.6",
        "0,20,1.5,0.5,0.5,",
        "1,50,,0.666667,0.583333,38",
    ]


def test_a_missing_metric_leaves_its_cells_empty() -> None:
    reports = [RoundReport(0, 20, 80, {"val_accuracy": None}), *REPORTS[1:]]
    table = learning_curve_csv(reports, "val_accuracy").splitlines()
    assert table[1:] == ["0,20,,,", "1,50,0.666667,,0.666667"]


ANSWERS = {0: [2, 0, SKIP, 2], 1: [SKIP], 2: [1]}


def test_the_table_of_queries_has_a_line_per_round_with_labels(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as run_directory:
        curve = LearningCurve(run_directory, "val_accuracy")
        curve.write_queries(ANSWERS, ["cat", "dog", "owl"])
        assert run_directory.queries_csv_path.read_text().splitlines() == [
            "round,entropy,cat,dog,owl",
            f"0,{np.log([3, 1.5]) @ [1 / 3, 2 / 3] / np.log(3):.6g},1,0,2",
            "2,0,0,1,0",
        ]


@pytest.mark.parametrize("label", ["cat", [0, 1], 0.5, 3])
def test_labels_that_are_not_classes_have_no_composition(label: object) -> None:
    assert query_compositions({0: [1, 2], 1: [label]}, ["cat", "dog", "owl"]) == {}


def test_table_and_picture_are_rewritten_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with RunDirectory(tmp_path / "run") as run_directory:
        curve = LearningCurve(run_directory, "val_accuracy")
        curve.write(REPORTS[:1])
        first = run_directory.learning_curve_png_path.read_bytes()
        curve.write(REPORTS)
        assert run_directory.learning_curve_png_path.read_bytes() != first
        assert not run_directory.queries_csv_path.exists(), "no names, no classes"
        assert first.startswith(b"\x89PNG")
        table = learning_curve_csv(REPORTS, "val_accuracy")
        assert run_directory.learning_curve_csv_path.read_text() == table


def test_without_matplotlib_one_warning_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with RunDirectory(tmp_path / "run") as run_directory:
        curve = LearningCurve(run_directory, "val_accuracy")
        with caplog.at_level(logging.WARNING):
            curve.write(REPORTS[:1])
            curve.write(REPORTS)
        (record,) = caplog.records
        assert "learning_curve.png is not drawn" in record.getMessage()
        assert "pip install" in record.getMessage()
        assert run_directory.learning_curve_csv_path.exists()
        assert not run_directory.learning_curve_png_path.exists()


@pytest.mark.parametrize("name", [r"cost_$\foo_1$", "50$", r"$\bar", "_hidden"])
def test_a_run_directory_of_any_name_is_drawn(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("matplotlib")
    with RunDirectory(tmp_path / name) as run_directory:
        LearningCurve(run_directory, "val_accuracy").write(REPORTS)
        assert run_directory.learning_curve_png_path.is_file()
    assert not caplog.records


FILES = ("learning_curve.csv", "learning_curve.png", "queries.csv")


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_cannot_be_written_stops_nothing_and_is_said_once(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("matplotlib")
    with RunDirectory(tmp_path / "run") as run_directory:
        (run_directory.path / name / "folder").mkdir(parents=True)
        curve = LearningCurve(run_directory, "val_accuracy")
        for _ in range(2):
            curve.write(REPORTS)
            curve.write_queries(ANSWERS, ["cat", "dog", "owl"])
        (message,) = [record.getMessage() for record in caplog.records]
        assert message.startswith(f"{run_directory.path / name}: not written (")
        assert "\n" not in message
        assert all((run_directory.path / other).is_file() for other in FILES if other != name)
        assert not list(run_directory.path.glob(".*.tmp"))


def test_an_error_of_matplotlib_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("matplotlib")

    def fail(*_: object, **__: object) -> None:
        raise ValueError("\n\\foo_1\n^")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    with RunDirectory(tmp_path / "run") as run_directory:
        LearningCurve(run_directory, "val_accuracy").write(REPORTS)
        assert run_directory.learning_curve_csv_path.is_file()
    assert "learning_curve.png: not written (\\foo_1 ^)" in caplog.text
