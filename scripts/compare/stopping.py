"""Coverage as a stopping rule: what runs would have saved and missed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from compare.measured import contestant_of
from lightning_badge.research.comparison.statistics import FloatArray

Row = Mapping[str, Any]


def runs_in(table: pa.Table) -> Iterator[list[Row]]:
    """Yields the rows of each run, by increasing number of labels."""
    runs: dict[str, list[Row]] = {}
    for row in table.to_pylist():
        runs.setdefault(row["cell"], []).append(row)
    for rows in runs.values():
        yield sorted(rows, key=lambda row: int(row["labels"]))


def round_ends(rows: Sequence[Row]) -> list[Row]:
    """Returns the last row of each round of a run."""
    return list({row["round"]: row for row in rows}.values())


@dataclass(frozen=True)
class Stop:
    """Where runs would have stopped by the coverage of a query.

    Attributes:
        contestant: The strategy.
        coverage: The coverage that ends a run.
        runs: Number of runs.
        reached: How many of them reached it.
        labels: Quartiles of the share of the labels until the end that were used then.
        to_come: Quartiles of the accuracy that was still to come until the end, in points.
    """

    contestant: str
    coverage: float
    runs: int
    reached: int
    labels: tuple[float, float, float]
    to_come: tuple[float, float, float]


def stops(table: pa.Table, coverages: Sequence[float] = (0.5, 0.7, 0.9)) -> list[Stop]:
    """Returns what stopping at a coverage would have meant, for each strategy that measures it."""
    curves: dict[str, list[list[Row]]] = {}
    for rows in runs_in(table):
        curves.setdefault(contestant_of(rows[0]), []).append(round_ends(rows))
    return [
        _stop(name, several, coverage)
        for name, several in curves.items()
        if any(row["coverage"] > 0 for rows in several for row in rows)
        for coverage in coverages
    ]


def _stop(name: str, runs: Sequence[Sequence[Row]], coverage: float) -> Stop:
    ends = [
        (row["labels"] / rows[-1]["labels"], rows[-1]["accuracy"] - row["accuracy"])
        for rows in runs
        if (row := next((row for row in rows if row["coverage"] >= coverage), None))
    ]
    used, to_come = np.array(ends).reshape(-1, 2).T
    quartiles = [_quartiles(values) for values in (used, 100 * to_come)]
    return Stop(name, coverage, len(runs), len(ends), *quartiles)


def _quartiles(values: FloatArray) -> tuple[float, float, float]:
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(low), float(middle), float(high)
