"""What a round gave, and how the console tells it."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console


@dataclass(frozen=True)
class RoundReport:
    """How a round went.

    Attributes:
        round: Its number.
        labeled: Samples that it was trained on.
        pool: Samples that were left.
        metrics: What the validation of its best checkpoint logged, by name; None for NaN.
        seconds: Of training, validation and ordering.
        query_size: Labels that it asked for then; None where it asked for none.
        end: Why the run ends with it; None where it goes on.
    """

    round: int
    labeled: int
    pool: int
    metrics: dict[str, float | None] = field(default_factory=dict)
    seconds: float = math.nan
    query_size: int | None = None
    end: str | None = None

    def value(self, metric: str) -> float:
        """Returns a metric; NaN where it is not finite or not there."""
        value = self.metrics.get(metric)
        return math.nan if value is None else value

    def facts(self) -> dict[str, Any]:
        """Returns what training and validation gave, as the label store keeps it."""
        names = ("labeled", "pool", "metrics", "seconds")
        return {name: getattr(self, name) for name in names}


class RoundTable:
    """A table on the console that grows by a line a round.

    Args:
        console: Where.
        metric: The metric to show.
    """

    def __init__(self, console: Console, metric: str) -> None:
        self._console = console
        self._metric = metric
        self._columns = ("round", "labels", "query size", metric, "seconds")

    def begin(self, path: Path) -> None:
        """Prints which run this is, and the names of the columns."""
        self._print(str(path), style="dim")
        self._print("  ".join(self._columns), style="bold")

    def add(self, report: RoundReport, *, earlier: bool = False) -> None:
        """Prints the line of a round; dim where an ``earlier`` process went through it."""
        cells = (
            f"{report.round:03d}",
            f"{report.labeled:,}",
            "-" if report.query_size is None else f"{report.query_size:,}",
            f"{report.value(self._metric):.4f}",
            f"{report.seconds:.1f}",
        )
        widths = map(len, self._columns)
        line = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
        self._print(line, style="dim" if earlier else "")

    def end(self, reason: str) -> None:
        """Prints why the run ends."""
        self._print(f"the end: {reason}", style="green")

    def _print(self, line: str, *, style: str) -> None:
        # Soft wrap: a narrow terminal or a log file must not break a line of the table.
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
