"""The learning curve of a run: a table and, where matplotlib is installed, a picture."""

import csv
import io
import logging
import re
from collections.abc import Sequence

from lightning_badge.durable.file import replacing
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.run_directory import RunDirectory
from lightning_badge.viz.learning_curve import draw_learning_curve

_log = logging.getLogger(__name__)


class LearningCurve:
    """Keeps ``learning_curve.csv`` and ``learning_curve.png`` of a run up to date.

    Args:
        run_directory: Where.
        metric: What the picture shows; the table has every metric.
    """

    def __init__(self, run_directory: RunDirectory, metric: str) -> None:
        self._run_directory = run_directory
        self._metric = metric
        self._draws = True

    def write(self, reports: Sequence[RoundReport]) -> None:
        """Writes both anew; a missing matplotlib is said once."""
        path = self._run_directory.learning_curve_csv_path
        self._run_directory.write_text(path, learning_curve_csv(reports))
        if not self._draws:
            return
        try:
            self._draw(reports)
        except ModuleNotFoundError as error:
            self._draws = False
            _log.warning("learning_curve.png is not drawn (%s): pip install matplotlib", error)

    def _draw(self, reports: Sequence[RoundReport]) -> None:
        name = self._run_directory.path.name
        curve = [r.labeled for r in reports], [r.value(self._metric) for r in reports]
        words = re.sub("^val[_/]", "validation ", self._metric).replace("_", " ")
        figure = draw_learning_curve({name: curve}, metric=words, title=name)
        with replacing(self._run_directory.learning_curve_png_path) as temporary:
            figure.savefig(temporary, format="png")


def learning_curve_csv(reports: Sequence[RoundReport]) -> str:
    """Returns the learning curve as a table: a line for each round, a column for each metric.

    It holds nothing that a clock decides: a run that was killed and went on gives the same text as
    one that was not.

    Example:
        >>> print(learning_curve_csv([RoundReport(0, 20, 80, {"val_accuracy": 0.5})]), end="")
        round,labels,val_accuracy
        0,20,0.5
    """
    metrics = list(dict.fromkeys(name for report in reports for name in report.metrics))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["round", "labels", *metrics])
    for report in reports:
        values = (report.metrics.get(name) for name in metrics)
        shown = ("" if value is None else f"{value:.6g}" for value in values)
        table.writerow([report.round, report.labeled, *shown])
    return text.getvalue()
