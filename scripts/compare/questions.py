"""Answers from tables of results: batches, ranking again, arguments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from compare.data_sets import HALF_A
from compare.measured import BASELINE, Measured, mean_and_width
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
    """Arguments of a strategy, and which of them were chosen on half A of the data sets.

    Attributes:
        strategy: The strategy.
        chosen: The contestant of the largest mean area on A; the strategy itself for the defaults.
        on_a: How far each other contestant is ahead of the defaults on A, by name.
        on_b: The same on B, where nothing is chosen.
    """

    strategy: str
    chosen: str
    on_a: dict[str, Difference]
    on_b: dict[str, Difference]


def choices(settings: Sequence[Measured]) -> list[Choice]:
    """Returns for each strategy with other arguments those of the largest mean area on A.

    Of equal ones the defaults, which come first.

    Args:
        settings: Settings of one table, whose contestants are compared.
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
        on_a, on_b = (
            {name: one for name, one in ahead[half].items() if name != strategy} for half in "AB"
        )
        found.append(Choice(strategy, chosen, on_a, on_b))
    return found


def _pairs(
    settings: Sequence[Measured], batches: str, other: str
) -> Iterator[tuple[Measured, Measured]]:
    found: dict[tuple[str, str, str], dict[str, Measured]] = {}
    # Of settings that are in several tables, the one with most seeds.
    for one in sorted(settings, key=lambda setting: len(setting.seeds)):
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
