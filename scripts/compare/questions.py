"""Answers from tables of results: batches, ranking again, arguments, coverage as a stop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from compare.data_sets import HALF_A
from compare.measured import BASELINE, Measured, contestant_of, mean_and_width
from lightning_badge.research.comparison.log_curves import LogCurve, areas
from lightning_badge.research.comparison.statistics import FloatArray


@dataclass(frozen=True)
class Difference:
    """A difference of areas in points: its mean over data sets.

    Attributes:
        name: What is compared.
        mean: The mean.
        half_width: Half width of its 95 % interval over data sets; NaN with one.
        data_sets: Number of data sets.
    """

    name: str
    mean: float
    half_width: float
    data_sets: int


def between_batches(
    settings: Sequence[Measured], batches: str, other: str, *, ahead_of_baseline: bool = False
) -> list[Difference]:
    """Compares two rules for batches, for each strategy, up to the common end.

    Args:
        settings: Settings; those of one data set, model and start are compared.
        batches: The rule whose area counts as positive.
        other: The other rule.
        ahead_of_baseline: Whether to subtract the difference of ``random``, whose picks do not
            depend on the batches.

    Returns:
        One for each strategy that both rules have; empty without such settings.
    """
    found: dict[str, list[float]] = {}
    for one, two in _pairs(settings, batches, other):
        names = [name for name in one.curves if name in two.curves]
        low, high = max(one.first, two.first), min(one.last, two.last)
        differences = {name: _paired(one, two, name, low, high) for name in names}
        control = differences.get(BASELINE, np.zeros(1)) if ahead_of_baseline else np.zeros(1)
        for name, values in differences.items():
            found.setdefault(name, []).append(100 * float((values - control).mean()))
    return [_difference(name, values) for name, values in found.items()]


def between_contestants(
    settings: Sequence[Measured], name: str, other: str, batches: str
) -> Difference | None:
    """Compares two contestants of the same settings; None if there are none."""
    values = [
        100 * float((one.areas(name) - one.areas(other)).mean())
        for one in settings
        if one.batches == batches and name in one.curves and other in one.curves
    ]
    return _difference(f"{name} - {other}", values) if values else None


@dataclass(frozen=True)
class Choice:
    """Arguments of a strategy that were chosen on half A of the data sets.

    Attributes:
        strategy: The strategy.
        chosen: The contestant of the largest mean area on A; the strategy itself for the defaults.
        on_a: How far it is ahead of the defaults on A.
        on_b: The same on B, where nothing was chosen.
    """

    strategy: str
    chosen: str
    on_a: Difference
    on_b: Difference


def choices(settings: Sequence[Measured]) -> list[Choice]:
    """Returns for each strategy with other arguments those of the largest mean area on A.

    Of equal ones the defaults, which come first.
    """
    halves = {half: [s for s in settings if (s.data in HALF_A) == (half == "A")] for half in "AB"}
    if not all(halves.values()):
        return []
    names = [name for name in settings[0].curves if all(name in s.curves for s in settings)]
    strategies = {name.split()[0] for name in names if " " in name} & set(names)
    found = []
    for strategy in sorted(strategies):
        variants = [strategy, *(name for name in names if name.startswith(f"{strategy} "))]
        ahead = {
            half: {name: _ahead(several, name, strategy) for name in variants}
            for half, several in halves.items()
        }
        chosen = max(variants, key=lambda name: ahead["A"][name].mean)
        found.append(Choice(strategy, chosen, ahead["A"][chosen], ahead["B"][chosen]))
    return found


@dataclass(frozen=True)
class Stop:
    """Where runs would have stopped by the coverage of a query.

    Attributes:
        contestant: The strategy.
        coverage: The coverage that ends a run.
        runs: Number of runs, and how many of them reached it.
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
    runs: dict[str, dict[str, list[Mapping[str, float]]]] = {}
    for row in table.to_pylist():
        runs.setdefault(contestant_of(row), {}).setdefault(row["cell"], []).append(row)
    return list(_stops(runs, coverages))


def _stops(
    runs: Mapping[str, Mapping[str, list[Mapping[str, float]]]], coverages: Sequence[float]
) -> Iterator[Stop]:
    for name, cells in runs.items():
        curves = [_round_ends(rows) for rows in cells.values()]
        if not any(row["coverage"] > 0 for rows in curves for row in rows):
            continue
        for coverage in coverages:
            ends = [
                (row["labels"] / rows[-1]["labels"], rows[-1]["accuracy"] - row["accuracy"])
                for rows in curves
                if (row := next((row for row in rows if row["coverage"] >= coverage), None))
            ]
            used, to_come = np.array(ends).reshape(-1, 2).T
            quartiles = [_quartiles(values) for values in (used, 100 * to_come)]
            yield Stop(name, coverage, len(curves), len(ends), *quartiles)


def _round_ends(rows: Sequence[Mapping[str, float]]) -> list[Mapping[str, float]]:
    """Returns the last row of each round."""
    ordered = sorted(rows, key=lambda row: row["labels"])
    return list({row["round"]: row for row in ordered}.values())


def _quartiles(values: FloatArray) -> tuple[float, float, float]:
    if not len(values):
        return float("nan"), float("nan"), float("nan")
    low, middle, high = np.percentile(values, [25, 50, 75])
    return float(low), float(middle), float(high)


def _pairs(
    settings: Sequence[Measured], batches: str, other: str
) -> Iterator[tuple[Measured, Measured]]:
    found: dict[tuple[str, str, str], dict[str, Measured]] = {}
    for one in settings:
        found.setdefault((one.data, one.model, one.start), {})[one.batches] = one
    for several in found.values():
        if batches in several and other in several:
            yield several[batches], several[other]


def _paired(one: Measured, two: Measured, name: str, low: float, high: float) -> FloatArray:
    """Returns the differences of areas, paired by the seeds that both settings have."""
    seeds = [seed for seed in one.seeds if seed in two.seeds]
    first, second = (
        areas([_of_seed(setting, name, seed) for seed in seeds], low, high)
        for setting in (one, two)
    )
    difference: FloatArray = first - second
    return difference


def _of_seed(setting: Measured, name: str, seed: int) -> LogCurve:
    return setting.curves[name][setting.seeds.index(seed)]


def _ahead(settings: Sequence[Measured], name: str, other: str) -> Difference:
    values = [100 * float((one.areas(name) - one.areas(other)).mean()) for one in settings]
    return _difference(name, values)


def _difference(name: str, values: Sequence[float]) -> Difference:
    return Difference(name, *mean_and_width(values), len(values))
