"""The learning curve of a run: CSV tables and, if matplotlib is installed, a picture."""

import io
import logging
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torchmetrics import Metric

from lightning_badge.csv_file import write_rows
from lightning_badge.durable.file import replacing
from lightning_badge.labels import Label, Skip, Undo
from lightning_badge.loop.query_composition import query_composition_csv, query_compositions
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.metrics import AreaUnderLearningCurve, LabelsToReach
from lightning_badge.store.answer import Answer
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.viz.learning_curve import draw_learning_curve

_log = logging.getLogger(__name__)


class LearningCurve:
    """Writes ``learning_curve.csv``, its picture and ``queries.csv`` of a run.

    Args:
        run_directory: Where the files are written.
        metric: The metric that the picture shows; the table has every metric.
        target: Value of the metric for which the table has the number of labels needed; None for
            no such column.
    """

    def __init__(
        self,
        run_directory: RunDirectory,
        metric: str,
        *,
        target: float | None = None,
    ) -> None:
        self._run_directory = run_directory
        self._metric = metric
        self._target = target
        self._draws = True
        self._told: set[str] = set()

    def write(self, reports: Sequence[RoundReport]) -> None:
        """Rewrites the table and the picture; warns once if matplotlib is missing.

        These files are for people. One that cannot be written is a warning and stops no run.

        Args:
            reports: Reports of the rounds so far.
        """
        table = learning_curve_csv(reports, self._metric, target=self._target)
        self._write_table(self._run_directory.learning_curve_csv_path, table)
        # A round without a model has no labels and no metric.
        measured = [r for r in reports if r.labeled and not math.isnan(r.value(self._metric))]
        if not self._draws or not measured:
            return
        try:
            self._draw(measured)
        except ModuleNotFoundError as error:
            self._draws = False
            _log.warning("learning_curve.png is not drawn (%s): pip install matplotlib", error)
        except Exception as error:  # a file system's, or any of matplotlib's
            self._warn(self._run_directory.learning_curve_png_path, error)

    def write_queries(
        self, answers: Mapping[int, Sequence[Label | Skip | Undo]], class_names: Sequence[str]
    ) -> None:
        """Rewrites ``queries.csv``; if that is impossible, a warning says so.

        Args:
            answers: Labels and skips of each round.
            class_names: Names of the classes.
        """
        if asked := query_compositions(answers, class_names):
            table = query_composition_csv(asked, class_names)
            self._write_table(self._run_directory.queries_csv_path, table)

    def _write_table(self, path: Path, text: str) -> None:
        try:
            self._run_directory.write_text(path, text)
        except OSError as error:
            self._warn(path, error)

    def _warn(self, path: Path, error: Exception) -> None:
        """Says once for each file and reason that the file is not up to date."""
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        text = f"{path}: not written ({' '.join(reason.split())}); the run goes on without it"
        if text not in self._told:
            self._told.add(text)
            _log.warning("%s", text)

    def _draw(self, reports: Sequence[RoundReport]) -> None:
        name = self._run_directory.path.name
        curve = [r.labeled for r in reports], [r.value(self._metric) for r in reports]
        words = re.sub("^val[_/]", "validation ", self._metric).replace("_", " ")
        figure = draw_learning_curve({name: curve}, metric=words, title=name)
        with replacing(self._run_directory.learning_curve_png_path) as temporary:
            figure.savefig(temporary, format="png")


def learning_curve_csv(
    reports: Sequence[RoundReport], metric: str, *, target: float | None = None
) -> str:
    """Returns the learning curve as CSV: a line for each round, a column for each metric.

    The last columns summarise the curve up to each round with `lightning_badge.metrics`. The table
    contains no times, so a resumed run writes the same text as an uninterrupted one.

    Args:
        reports: Reports of the rounds so far.
        metric: The metric whose curve is summarised.
        target: Value of the metric for which the table has the number of labels needed; None for
            no such column.

    Example:
        >>> reports = [RoundReport(0, 20, 80, {"val_accuracy": 0.5})]
        >>> print(learning_curve_csv(reports, "val_accuracy"), end="")
        round,labels,val_accuracy,area_under_learning_curve
        0,20,0.5,0.5
    """
    # Other processes that train have no learning curve to wait for.
    area = AreaUnderLearningCurve(sync_on_compute=False)
    summaries: dict[str, Metric] = {"area_under_learning_curve": area}
    if target is not None:
        summaries[f"labels_to_reach_{target:g}"] = LabelsToReach(target, sync_on_compute=False)
    metrics = list(dict.fromkeys(name for report in reports for name in report.metrics))
    text = io.StringIO()
    rows: list[list[Any]] = [["round", "labels", *metrics, *summaries]]
    for report in reports:
        values = [report.value(name) for name in metrics]
        for summary in summaries.values():
            summary.update(report.labeled, report.value(metric))
            values.append(float(summary.compute()))
        shown = ("" if math.isnan(value) else f"{value:.6g}" for value in values)
        rows.append([report.round, report.labeled, *shown])
    write_rows(text, rows, line_end="\n")
    return text.getvalue()


def answers_before(round: int, in_force: Iterable[Answer]) -> dict[int, list[Label | Skip | Undo]]:
    """Returns the answers of each round before one.

    Those of an interrupted round are shown once it is finished.
    """
    answers: dict[int, list[Label | Skip | Undo]] = defaultdict(list)
    for answer in in_force:
        if answer.round < round:
            answers[answer.round].append(answer.label)
    return answers
