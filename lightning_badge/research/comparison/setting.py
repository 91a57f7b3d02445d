"""Settings: one task run with several contestants, with a learning curve for each seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError

Labels: TypeAlias = npt.NDArray[np.int64]
Curve: TypeAlias = tuple[Sequence[int], Sequence[float]]

FACTORS = ("strategy", "budget")


@dataclass(frozen=True)
class Setting:
    """Comparable learning curves: from one data set and the same initial labels.

    A contestant is one of the strategies or budgets that are compared.

    Attributes:
        name: The factor that all curves share, for example the budget if strategies are compared.
        seeds: Seeds of the runs.
        curves: For each contestant, one curve per seed: increasing numbers of labels and the metric
            at each of them.

    Raises:
        BadgeError: A curve has fewer than two rounds or labels that do not increase, a contestant
            has too few curves, or the curves have no common range of labels.
    """

    name: str
    seeds: tuple[int, ...]
    curves: Mapping[str, Sequence[Curve]]

    def __post_init__(self) -> None:
        for name, curves in self.curves.items():
            if len(curves) != len(self.seeds):
                raise BadgeError(
                    f"{self.name}: {name}: expected {len(self.seeds)} curves, got {len(curves)}"
                )
            for seed, (labels, values) in zip(self.seeds, curves, strict=True):
                if len(labels) < 2 or len(labels) != len(values) or min(np.diff(labels)) < 1:
                    raise BadgeError(
                        f"{self.name}: {name}, seed {seed}: expected at least two rounds with "
                        f"increasing numbers of labels and a value each, got labels {list(labels)} "
                        f"and {len(values)} values"
                    )
        if self.first_labels >= self.last_labels:
            raise BadgeError(
                f"{self.name}: expected curves over a common range of labels, but one begins at "
                f"{self.first_labels} and one ends at {self.last_labels}"
            )

    @property
    def first_labels(self) -> int:
        """The smallest number of labels that all curves cover."""
        return max(int(labels[0]) for labels in self._labels())

    @property
    def last_labels(self) -> int:
        """The largest number of labels that all curves cover."""
        return min(int(labels[-1]) for labels in self._labels())

    @property
    def query_size(self) -> int:
        """The maximum over contestants of the contestant's smallest query size.

        Below this many new labels, at least one contestant was never measured.
        """
        return max(
            min(int(np.diff(labels).min()) for labels, _ in curves)
            for curves in self.curves.values()
        )

    def common_labels(self) -> Labels:
        """Returns all measured numbers of labels in the range that all curves cover."""
        union = np.unique(np.concatenate(self._labels()))
        return union[(union >= self.first_labels) & (union <= self.last_labels)]

    def at(self, labels: Sequence[int] | Labels) -> dict[str, npt.NDArray[np.float64]]:
        """Returns the metric ``[s, k]`` of each contestant at numbers of labels ``[k]``.

        Values between two rounds are interpolated linearly in the number of labels, so that runs
        with different query sizes can be compared at equal numbers of labels.
        """
        return {
            name: np.stack([np.interp(labels, *curve) for curve in curves])
            for name, curves in self.curves.items()
        }

    def _labels(self) -> list[Labels]:
        return [np.asarray(labels) for curves in self.curves.values() for labels, _ in curves]


def settings_of(
    rows: Sequence[Mapping[str, Any]], *, metric: str, contestants: str = "strategy"
) -> list[Setting]:
    """Groups a table of results into settings.

    Args:
        rows: One row per round with the columns ``strategy``, ``budget``, ``seed``, ``labels`` and
            the metric, in the order of rounds.
        metric: Column to compare; higher is better.
        contestants: The column to compare, ``strategy`` or ``budget``; each value of the other one
            is a setting.

    Raises:
        BadgeError: ``contestants`` or ``metric`` is not a column, or a setting lacks a run that
            other contestants have.
    """
    if contestants not in FACTORS:
        raise BadgeError(f"contestants: expected {' or '.join(FACTORS)}, got {contestants!r}")
    (other,) = set(FACTORS) - {contestants}
    found: dict[str, dict[str, dict[int, list[tuple[int, float]]]]] = {}
    for row in rows:
        if row.get(metric) is None:
            raise BadgeError(f"metric: expected {metric!r} in every row, got {dict(row)}")
        runs = found.setdefault(row[other], {}).setdefault(row[contestants], {})
        runs.setdefault(row["seed"], []).append((row["labels"], row[metric]))
    settings = [_setting(name, by_contestant) for name, by_contestant in found.items()]
    names = {contestant: None for setting in settings for contestant in setting.curves}
    for setting in settings:
        if missing := [name for name in names if name not in setting.curves]:
            raise BadgeError(f"{setting.name}: no runs of {', '.join(missing)}; run them first")
    return settings


def _setting(
    name: str, by_contestant: Mapping[str, Mapping[int, list[tuple[int, float]]]]
) -> Setting:
    seeds = sorted(set().union(*by_contestant.values()))
    for contestant, runs in by_contestant.items():
        if missing := [seed for seed in seeds if seed not in runs]:
            raise BadgeError(f"{name}: {contestant} has no run of seeds {missing}; run them first")
    curves: dict[str, list[Curve]] = {
        contestant: [_curve(runs[seed]) for seed in seeds]
        for contestant, runs in by_contestant.items()
    }
    return Setting(name, tuple(seeds), curves)


def _curve(points: list[tuple[int, float]]) -> Curve:
    labels, values = zip(*points, strict=True)
    return labels, values
