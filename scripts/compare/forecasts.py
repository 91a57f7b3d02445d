"""How often the estimate of the accuracy with more labels held, on measured learning curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from compare.data_sets import TEST_ROWS
from compare.measured import contestant_of, mean_and_width
from compare.stopping import Row, round_ends, runs_in
from lightning_badge.forecast import MIN_ROUNDS, forecast

AHEAD = 100
NEAR = 50, 150  # labels ahead that count as about a hundred, where a model was trained

# Returns for the labels so far, and the labels and accuracies of a run, how many labels ahead is
# compared and the accuracy there; None beyond the run.
Target: TypeAlias = Callable[[int, Sequence[int], Sequence[float]], tuple[int, float] | None]


@dataclass(frozen=True)
class Estimate:
    """One estimate and what was then measured; accuracies in points.

    Attributes:
        data: Name of the data set.
        contestant: The strategy.
        seed: The seed of the run.
        low: Lower bound of the interval.
        high: Upper bound.
        error: Estimate minus the measured accuracy.
        measured: The accuracy that was measured.
    """

    data: str
    contestant: str
    seed: int
    low: float
    high: float
    error: float
    measured: float

    @property
    def held(self) -> bool:
        """Whether the interval contains the measured accuracy."""
        return self.low <= self.measured <= self.high


@dataclass(frozen=True)
class Held:
    """How often the intervals of some estimates held; in per cent, widths and errors in points.

    Attributes:
        name: What the estimates have in common.
        estimates: Number of estimates.
        share: How many held, the mean over data sets, or over seeds for one data set.
        half_width: Half width of its 95 % interval over them; NaN with one or two data sets.
        too_low: Share with a measured accuracy above the interval, the same mean.
        too_high: Share with one below it.
        width: Median width of an interval.
        error: Median of the absolute error.
    """

    name: str
    estimates: int
    share: float
    half_width: float
    too_low: float
    too_high: float
    width: float
    error: float


def estimates(table: pa.Table, *, at_a_model: bool) -> list[Estimate]:
    """Estimates the accuracy after each round of each run from the rounds so far.

    Args:
        table: Rows of finished cells.
        at_a_model: Whether to compare with the next model that was trained on about 100 labels
            more, rather than with the curve at 100 labels more, interpolated over log labels.
    """
    target = _nearest_model if at_a_model else _on_the_curve
    return [found for rows in runs_in(table) for found in _of_run(rows, target)]


def held_over(found: Sequence[Estimate], by: str | None = None) -> Iterator[Held]:
    """Yields how often estimates held.

    Args:
        found: The estimates.
        by: ``contestant`` or ``data``, for one result each; None for all together.
    """
    groups: dict[str, list[Estimate]] = {}
    unit = "seed" if by == "data" else "data"
    for one in found:
        groups.setdefault(getattr(one, by) if by else "all", []).append(one)
    for name, several in groups.items():
        shares = _shares(several, unit, lambda one: one.held)
        share, half_width = mean_and_width(shares)
        yield Held(
            name,
            len(several),
            share,
            half_width if by == "data" or len(shares) > 2 else float("nan"),
            float(np.mean(_shares(several, unit, lambda one: one.measured > one.high))),
            float(np.mean(_shares(several, unit, lambda one: one.measured < one.low))),
            float(np.median([one.high - one.low for one in several])),
            float(np.median([abs(one.error) for one in several])),
        )


def _shares(found: Iterable[Estimate], unit: str, holds: Callable[[Estimate], bool]) -> list[float]:
    """Returns for each data set or seed how many per cent of its estimates have a property."""
    several: dict[object, list[bool]] = {}
    for one in found:
        several.setdefault(getattr(one, unit), []).append(holds(one))
    return [100 * float(np.mean(values)) for values in several.values()]


def _of_run(rows: Sequence[Row], target: Target) -> Iterator[Estimate]:
    labels, accuracies = ([row[key] for row in rows] for key in ("labels", "accuracy"))
    data, name, seed = rows[0]["data"], contestant_of(rows[0]), rows[0]["seed"]
    ends = round_ends(rows)
    for count in range(MIN_ROUNDS, len(ends)):
        so_far = ends[:count]
        aim = target(so_far[-1]["labels"], labels, accuracies)
        if aim is None:
            continue
        ahead, measured = aim
        expected = forecast(
            [row["labels"] for row in so_far],
            [row["accuracy"] for row in so_far],
            TEST_ROWS[data],
            ahead=ahead,
        )
        low, high = 100 * expected.low, 100 * expected.high
        error = 100 * (expected.value - measured)
        yield Estimate(data, name, seed, low, high, error, 100 * measured)


def _on_the_curve(
    now: int, labels: Sequence[int], accuracies: Sequence[float]
) -> tuple[int, float] | None:
    if now + AHEAD > labels[-1]:
        return None
    return AHEAD, float(np.interp(np.log(now + AHEAD), np.log(labels), accuracies))


def _nearest_model(
    now: int, labels: Sequence[int], accuracies: Sequence[float]
) -> tuple[int, float] | None:
    place = min(range(len(labels)), key=lambda place: abs(labels[place] - now - AHEAD))
    ahead = labels[place] - now
    return (ahead, accuracies[place]) if NEAR[0] <= ahead <= NEAR[1] else None
