import io
import math
from pathlib import Path

from rich.console import Console

from lightning_badge.loop.round_report import RoundReport, RoundTable


def test_a_missing_metric_is_nan() -> None:
    report = RoundReport(0, 20, 80, {"val_loss": None, "val_accuracy": 0.5})
    assert report.value("val_accuracy") == 0.5
    assert math.isnan(report.value("val_loss"))
    assert math.isnan(report.value("val_f1"))


def test_the_table_has_an_aligned_line_per_round_on_a_narrow_console() -> None:
    text = io.StringIO()
    table = RoundTable(Console(file=text, width=10), "val_accuracy")
    table.begin(Path("/runs/digits"))
    table.add(RoundReport(0, 20, 80, {"val_accuracy": 0.5}, seconds=1.23, query_size=1230))
    table.add(RoundReport(1, 1250, 0, {"val_accuracy": None}, seconds=100.0))
    table.end("the pool is empty")
    assert text.getvalue().splitlines() == [
        "/runs/digits",
        "round  labels  query size  val_accuracy  seconds",
        "  000      20       1,230        0.5000      1.2",
        "  001   1,250           -           nan    100.0",
        "run ended: the pool is empty",
    ]
