import logging
import sys
from pathlib import Path

import pytest

from lightning_badge.loop.learning_curve import LearningCurve, learning_curve_csv
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.run_directory import RunDirectory

REPORTS = [
    RoundReport(0, 20, 80, {"val_loss": 1.5, "val_accuracy": 0.5}, seconds=1.0, query_size=30),
    RoundReport(1, 50, 50, {"val_loss": None, "val_accuracy": 2 / 3}, seconds=2.0),
]


def test_the_table_has_a_line_a_round_and_a_column_a_metric() -> None:
    assert learning_curve_csv(REPORTS).splitlines() == [
        "round,labels,val_loss,val_accuracy",
        "0,20,1.5,0.5",
        "1,50,,0.666667",
    ]


def test_table_and_picture_are_written_anew_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with RunDirectory(tmp_path / "run") as run_directory:
        curve = LearningCurve(run_directory, "val_accuracy")
        curve.write(REPORTS[:1])
        first = run_directory.learning_curve_png_path.read_bytes()
        curve.write(REPORTS)
        assert run_directory.learning_curve_png_path.read_bytes() != first
        assert first.startswith(b"\x89PNG")
        assert run_directory.learning_curve_csv_path.read_text() == learning_curve_csv(REPORTS)


def test_without_matplotlib_the_missing_picture_is_said_once(
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
