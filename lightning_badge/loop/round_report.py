"""The result of a round, and the console table of all rounds."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.loop.origin import AGAIN
from lightning_badge.outlook import MeasuredRound, in_words, outlook
from lightning_badge.store.label_store import LabelStore

_OF_FILES = ("answers", "files")  # what `trained_round.write` adds


@dataclass(frozen=True)
class RoundReport:
    """The result of a round.

    Attributes:
        round: The round number.
        labeled: Number of labeled samples that the model was trained on.
        pool: Number of samples in the pool.
        metrics: Metrics logged by validation of the best checkpoint, by name; None for NaN.
        seconds: Time for training, validation and ordering.
        attempt: Number of the attempt at the round, whose cut says which answers it trained on.
        validated: Number of validation samples; None if it is not known.
        correct: Which of them were classified correctly, see `MeasuredRound`; None if not known.
        query_size: Number of labels that the round asked for; None if it asked for none.
        end: Why the run ends with this round; None if it continues.
        to_do: What people have to do before the run goes on; None if nothing.
        remains: What remains of money and time; None if nothing limits them.
    """

    round: int
    labeled: int
    pool: int
    metrics: dict[str, float | None] = field(default_factory=dict)
    seconds: float = math.nan
    attempt: int = 0
    validated: int | None = None
    correct: str | None = None
    query_size: int | None = None
    end: str | None = None
    to_do: str | None = None
    remains: str | None = None

    @classmethod
    def of_file(cls, path: Path) -> "RoundReport":
        """Returns the report of a ``metrics.json``.

        Raises:
            RunDirectoryError: It is damaged.
        """
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{key: facts[key] for key in facts if key not in _OF_FILES})
        except (TypeError, ValueError, RecursionError) as error:
            raise RunDirectoryError(f"{path}: not a round's metrics ({error}); {AGAIN}") from error

    def value(self, metric: str) -> float:
        """Returns a metric; NaN if it is missing or was not finite."""
        value = self.metrics.get(metric)
        return math.nan if value is None else value

    def facts(self) -> dict[str, Any]:
        """Returns the results of training and validation that the label store keeps."""
        names = ("labeled", "pool", "metrics", "seconds", "attempt")
        facts = {name: getattr(self, name) for name in names}
        of_validation = {"validated": self.validated, "correct": self.correct}
        return facts | {key: value for key, value in of_validation.items() if value is not None}

    def measured(self, metric: str) -> MeasuredRound:
        """Returns the round with its value of a metric, for `outlook`."""
        return MeasuredRound(self.labeled, self.value(metric), self.validated, self.correct)


def finished_reports(store: LabelStore) -> list[RoundReport]:
    """Returns the reports of the finished rounds, in order."""
    return [
        RoundReport(round=finished.round, query_size=finished.query_size, **finished.facts)
        for finished in store.rounds()
    ]


class RoundTable:
    """A table on the console with one line per round.

    Args:
        console: The console to print to.
        metric: The metric to show.
        multilabel: Whether a sample may have several classes.
    """

    def __init__(self, console: Console, metric: str, *, multilabel: bool = False) -> None:
        self._console = console
        self._metric = metric
        self._multilabel = multilabel
        self._measured: list[MeasuredRound] = []
        self._columns = ("round", "labels", "query size", metric, "seconds")

    def begin(self, path: Path) -> None:
        """Prints the run directory and the column names."""
        self._print(str(path), style="dim")
        self._print("  ".join(self._columns), style="bold")

    def add(self, report: RoundReport, *, earlier: bool = False) -> None:
        """Prints the line of a round; dim if an ``earlier`` process ran it.

        Below a round of this process stands what its labels brought, and what the next ones may.
        """
        cells = (
            f"{report.round:03d}",
            f"{report.labeled:,}",
            "-" if report.query_size is None else f"{report.query_size:,}",
            f"{report.value(self._metric):.4f}",
            f"{report.seconds:.1f}",
        )
        widths = map(len, self._columns)
        line = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        rest = "" if report.remains is None else f"  {report.remains}"
        self._print(line + rest, style="dim" if earlier else "")
        self._measured.append(report.measured(self._metric))
        if earlier:
            return
        found = outlook(self._measured, pool=report.pool, multilabel=self._multilabel)
        if found is not None:
            self._print(f"       {in_words(found)}", style="dim")

    def end(self, reason: str, *, to_do: str | None = None) -> None:
        """Prints why the run ends, or what people have to do before it goes on."""
        self._print(f"next: {to_do}" if to_do else f"run ended: {reason}", style="green")

    def _print(self, line: str, *, style: str) -> None:
        # With soft_wrap, rich does not break the lines of the table at the width of the terminal.
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
