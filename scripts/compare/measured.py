"""The settings in a table of results: learning curves that are paired by seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from compare.data_sets import CLASSES
from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.log_curves import LogCurve, areas, on_grid
from lightning_badge.research.comparison.statistics import FloatArray, mean_interval

BASELINE = "random"
GRID = 60  # points of a mean curve
# Ends of the budgets in labels a class, and the least factor in labels that counts as covered.
BUDGETS = {"low": (0.0, 2.0), "middle": (2.0, 10.0), "high": (10.0, np.inf)}
LEAST_FACTOR = 1.5
LEAST_SEEDS = 2


@dataclass(frozen=True, eq=False)
class Measured:
    """The learning curves of one setting.

    Attributes:
        data: Name of the data set.
        model: Name of the model.
        start: ``random`` or ``cold``.
        batches: ``variable`` or a number.
        seeds: The seeds that all contestants have.
        curves: Accuracy by contestant, one curve for each seed.
        balanced: Balanced accuracy, the same.
    """

    data: str
    model: str
    start: str
    batches: str
    seeds: tuple[int, ...]
    curves: Mapping[str, Sequence[LogCurve]]
    balanced: Mapping[str, Sequence[LogCurve]]

    @property
    def name(self) -> str:
        """Name of the setting."""
        return f"{self.data}, {self.model}, {self.start} start, batches {self.batches}"

    @property
    def first(self) -> int:
        """The smallest number of labels that all curves have."""
        return max(int(curve.labels[0]) for curve in self._all())

    @property
    def last(self) -> int:
        """The largest number of labels that all curves have."""
        return min(int(curve.labels[-1]) for curve in self._all())

    @cached_property
    def sizes(self) -> list[int]:
        """The numbers of labels that every run was measured at, without a common start."""
        common = set.intersection(*(set(curve.labels.tolist()) for curve in self._all()))
        return sorted(size for size in common if self.start == "cold" or size > self.first)

    def values(self) -> FloatArray:
        """Returns the accuracy ``[m, s, k]`` of all contestants at the common sizes."""
        return np.stack([on_grid(curves, self.sizes) for curves in self.curves.values()])

    def areas(
        self, contestant: str, budget: str | None = None, *, balanced: bool = False
    ) -> FloatArray:
        """Returns the area under each curve of a contestant, ``[s]``; of a budget's part of it."""
        low, high = (self.first, self.last) if budget is None else self.range_of(budget)
        curves = self.balanced if balanced else self.curves
        return areas(curves[contestant], low, high)

    def range_of(self, budget: str) -> tuple[float, float]:
        """Returns the part of the curves that belongs to a budget, in labels."""
        low, high = (CLASSES[self.data] * end for end in BUDGETS[budget])
        return max(low, self.first), min(high, self.last)

    def covers(self, budget: str) -> bool:
        """Returns whether the curves cover enough of a budget."""
        low, high = self.range_of(budget)
        return bool(high >= LEAST_FACTOR * low)

    def grid(self, budget: float) -> FloatArray:
        """Returns numbers of labels, evenly spaced in their logarithm, up to a budget."""
        grid: FloatArray = np.geomspace(self.first, budget, GRID)
        return grid

    def end_of(self, budget: str) -> float | None:
        """Returns the number of labels at which a budget ends; None outside the curves."""
        end = self.last if budget == "high" else CLASSES[self.data] * BUDGETS[budget][1]
        return float(end) if self.covers(budget) and self.first < end <= self.last else None

    def _all(self) -> Iterator[LogCurve]:
        for curves in self.curves.values():
            yield from curves


def settings_in(table: pa.Table) -> list[Measured]:
    """Returns the settings of a table, with the seeds that all their contestants have.

    Raises:
        BadgeError: No setting has two such seeds.
    """
    found: dict[tuple[str, ...], dict[str, dict[int, list[tuple[int, float, float]]]]] = {}
    for row in table.to_pylist():
        setting = row["data"], row["model"], row["start"], row["batches"]
        runs = found.setdefault(setting, {}).setdefault(contestant_of(row), {})
        point = row["labels"], row["accuracy"], row["balanced_accuracy"]
        runs.setdefault(row["seed"], []).append(point)
    settings = []
    for (data, model, start, batches), contestants in found.items():
        seeds = tuple(sorted(set.intersection(*(set(runs) for runs in contestants.values()))))
        if len(seeds) >= LEAST_SEEDS and BASELINE in contestants:
            curves, balanced = (
                {
                    name: [_curve(runs[seed], column) for seed in seeds]
                    for name, runs in contestants.items()
                }
                for column in (1, 2)
            )
            settings.append(Measured(data, model, start, batches, seeds, curves, balanced))
    if not settings:
        raise BadgeError(
            f"results: expected a setting with {LEAST_SEEDS} seeds that all strategies have, "
            f"{BASELINE} among them, got {table.num_rows} rows without one; run more cells"
        )
    return sorted(settings, key=lambda one: (one.data, one.model, one.start, one.batches.zfill(9)))


def contestant_of(row: Mapping[str, str]) -> str:
    """Returns the strategy of a row with its arguments.

    Example:
        >>> contestant_of({"strategy": "badge", "arguments": '{"trials": 2}'})
        'badge trials=2'
    """
    given = json.loads(row["arguments"] or "{}")
    return " ".join([row["strategy"], *(f"{name}={value}" for name, value in given.items())])


def mean_and_width(values: Sequence[float]) -> tuple[float, float]:
    """Returns a mean and the half width of its 95 % interval, NaN with one value."""
    if len(values) < 2:
        return float(np.mean(values)), float("nan")
    mean, half_width = mean_interval(values)
    return float(mean), float(half_width)


def in_points(mean: float, half_width: float) -> str:
    """Returns a difference in points, with its interval if it has one.

    Example:
        >>> in_points(1.25, 0.5), in_points(-0.04, float("nan"))
        ('+1.2 ± 0.5', '-0.0')
    """
    return f"{mean:+.1f}" + ("" if np.isnan(half_width) else f" ± {half_width:.1f}")


def _curve(points: Sequence[tuple[int, float, float]], column: int) -> LogCurve:
    ordered = sorted(points)
    labels = np.array([point[0] for point in ordered], np.int64)
    return LogCurve(labels, np.array([point[column] for point in ordered]))
