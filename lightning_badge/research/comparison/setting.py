"""Settings: the same task for several contestants, with a learning curve for each seed."""

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
    """Learning curves that may be compared: of one data set, from the same initial labels.

    Attributes:
        name: What all curves have in common: the budget where strategies are compared.
        seeds: Of the runs.
        curves: For each contestant and each seed, numbers of labels, rising, and the metric there.

    Raises:
        BadgeError: A curve without two rounds or with other than rising labels, too few curves, or
            curves that have no number of labels in common.
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
                        f"{self.name}: {name}, seed {seed}: expected two rounds or more with "
                        f"rising numbers of labels and a value each, got labels {list(labels)} "
                        f"and {len(values)} values"
                    )
        if self.first_labels >= self.last_labels:
            raise BadgeError(
                f"{self.name}: expected curves over a common range of labels, but one begins at "
                f"{self.first_labels} and one ends at {self.last_labels}"
            )

    @property
    def first_labels(self) -> int:
        """Labels that every run has at its start."""
        return max(int(labels[0]) for labels in self._labels())

    @property
    def last_labels(self) -> int:
        """Labels that every run reached."""
        return min(int(labels[-1]) for labels in self._labels())

    @property
    def query_size(self) -> int:
        """The smallest query size of a contestant, of the one where that is largest.

        A contestant that never asks for fewer was not measured before.
        """
        return max(
            min(int(np.diff(labels).min()) for labels, _ in curves)
            for curves in self.curves.values()
        )

    def common_labels(self) -> Labels:
        """Returns every number of labels at which any run was measured and all others had begun."""
        union = np.unique(np.concatenate(self._labels()))
        return union[(union >= self.first_labels) & (union <= self.last_labels)]

    def at(self, labels: Sequence[int] | Labels) -> dict[str, npt.NDArray[np.float64]]:
        """Returns the metric ``[s, k]`` of each contestant at numbers of labels ``[k]``.

        Between two rounds it is interpolated linearly in the number of labels, so that runs with
        query sizes of their own can be compared at equal numbers of labels.
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
    """Sorts a table of results into settings.

    Args:
        rows: Of ``strategy``, ``budget``, ``seed``, ``labels`` and the metric, one a round, in the
            order of rounds.
        metric: Column to compare, the higher the better.
        contestants: What is compared, ``strategy`` or ``budget``; the other one tells settings
            apart.

    Raises:
        BadgeError: An unknown column, or a run that one contestant of a setting has and another
            has not.
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
