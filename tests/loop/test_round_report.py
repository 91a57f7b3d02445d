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


def test_a_round_says_what_its_labels_brought_and_what_the_next_may() -> None:
    text = io.StringIO()
    table = RoundTable(Console(file=text, width=10), "val/accuracy")
    curve = [(20, 0.5), (60, 0.7), (100, 0.77), (150, 0.81)]
    for round, (labeled, accuracy) in enumerate(curve):
        report = RoundReport(round, labeled, 900, {"val/accuracy": accuracy}, validated=100)
        table.add(report, earlier=round == 1)
    lines = text.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["000", "001", "002", "the", "003", "the"]
    assert "the last 40 labels: +0.070 (80 %, if errors" in lines[3]
    assert "no estimate of the next labels before 4 rounds, so far 3" in lines[3]
    assert "the last 50 labels: +0.040 (80 %, if errors" in lines[5]
    assert "; the next 100: 0.8" in lines[5]


def test_samples_of_several_classes_have_no_interval() -> None:
    text = io.StringIO()
    table = RoundTable(Console(file=text, width=10), "val/accuracy", multilabel=True)
    for labeled in (20, 60):
        table.add(RoundReport(0, labeled, 900, {"val/accuracy": 0.5}, validated=100))
    assert "no interval, because samples have several classes" in text.getvalue()


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
