"""What a table of results says: areas, significant losses, penalties, effects, the default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from compare.measured import BASELINE, Measured, mean_and_width, settings_in
from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import STRATEGIES
from lightning_badge.research.comparison.paired_tests import significant_wins, wins_at
from lightning_badge.research.comparison.statistics import FloatArray, mean_interval

# Strategies that the default of data=folder is not chosen from: they need dropout, or a package
# that may be missing.
NO_DEFAULT = {"bald", "batchbald", "probcover", "typiclust"}
REFERENCE = "badge"  # what BadgeCallback() uses, whatever comes out
SEEDS_TO_CHOOSE = 10  # tests of fewer seeds find nothing, or what is not there


@dataclass(frozen=True)
class Standing:
    """How a contestant did over several settings; numbers in per cent where they are accuracies.

    Attributes:
        name: The contestant.
        area: Mean area.
        balanced: Mean area of the balanced accuracy.
        ahead: Mean of the area minus that of ``random``.
        ahead_half_width: Half width of its 95 % interval over settings; NaN with one setting.
        wins: Significant wins, in settings: a test counts 1 / (number of sizes).
        losses: Significant losses, the same.
        penalty: Mean of its column in the penalty matrix.
    """

    name: str
    area: float
    balanced: float
    ahead: float
    ahead_half_width: float
    wins: float
    losses: float
    penalty: float


def contestants_of(settings: Iterable[Measured]) -> list[str]:
    """Returns the contestants that all settings have.

    Raises:
        BadgeError: Settings without a common contestant beside the baseline.
    """
    several = [list(setting.curves) for setting in settings]
    names = [name for name in several[0] if all(name in others for others in several)]
    if len(names) < 2:
        raise BadgeError(f"results: expected two strategies in all settings, got {names}")
    return names


def standings(settings: Sequence[Measured]) -> list[Standing]:
    """Returns how the common contestants did, the largest mean area first."""
    names = contestants_of(settings)
    areas, balanced = (
        100 * np.array([[_mean(s, name, is_balanced) for name in names] for s in settings])
        for is_balanced in (False, True)
    )
    wins = np.sum([_shares(one, significant_in(one, names)) for one in settings], axis=0)
    penalty = penalties(settings)
    ahead = areas - areas[:, [names.index(BASELINE)]]
    width = mean_interval(ahead)[1] if len(settings) > 1 else np.full(len(names), np.nan)
    found = [
        Standing(
            name,
            float(areas[:, place].mean()),
            float(balanced[:, place].mean()),
            float(ahead[:, place].mean()),
            float(width[place]),
            float(wins[place].sum()),
            float(wins[:, place].sum()),
            float(penalty[:, place].mean()),
        )
        for place, name in enumerate(names)
    ]
    return sorted(found, key=lambda standing: -standing.area)


def penalties(settings: Sequence[Measured], names: Sequence[str] | None = None) -> FloatArray:
    """Returns the penalty matrix of the BADGE paper, ``[m, m]``.

    Args:
        settings: Settings.
        names: Contestants that all of them have, in the order of the rows; None for all such.
    """
    names = contestants_of(settings) if names is None else names
    several = [_shares(one, wins_at(one.values()[_places(one, names)])) for one in settings]
    matrix: FloatArray = np.sum(several, axis=0)
    return matrix


def default_of(found: Sequence[Standing]) -> Standing:
    """Returns the default of ``data=folder`` by the rules: fewest losses, then the largest area."""
    able = [standing for standing in found if standing.name.split()[0] not in NO_DEFAULT]
    return min(able, key=lambda standing: (round(standing.losses, 9), -standing.area))


@dataclass(frozen=True)
class Default:
    """The default of ``data=folder`` by the rules, and what it is better than.

    Attributes:
        chosen: The strategy.
        runner_up: The strategy that would be next by the rules.
        reference: The strategy ``badge``.
        settings: Number of settings by model, over which all candidates ran.
        comparisons: Number of comparisons with other strategies in them, of which some are lost.
    """

    chosen: Standing
    runner_up: Standing
    reference: Standing
    settings: Mapping[str, int]
    comparisons: int


def default_over(tables: Sequence[pa.Table]) -> Default | None:
    """Returns the default of ``data=folder`` by the rules, over all settings of several tables.

    Only settings in which all strategies ran that it may be count, with the strategies' own
    arguments. A cell that is in two tables counts once.

    Returns:
        None without such a setting, or with fewer than `SEEDS_TO_CHOOSE` seeds in one.
    """
    known: set[str] = set()
    parts = []
    for table in tables:
        is_new = [cell not in known for cell in table["cell"].to_pylist()]
        parts.append(table.filter(pa.array(is_new)))
        known |= set(table["cell"].to_pylist())
    rows = pa.concat_tables(parts)
    rows = rows.filter(pc.equal(rows["arguments"], ""))
    able = set(STRATEGIES) - NO_DEFAULT
    settings = [setting for setting in settings_in(rows) if able <= setting.curves.keys()]
    if not settings or min(len(setting.seeds) for setting in settings) < SEEDS_TO_CHOOSE:
        return None
    found = standings(settings)
    chosen = default_of(found)
    return Default(
        chosen,
        default_of([one for one in found if one is not chosen]),
        next(one for one in found if one.name == REFERENCE),
        Counter(setting.model for setting in settings),
        (len(found) - 1) * len(settings),
    )


@dataclass(frozen=True)
class Effect:
    """Where a contestant helped, compared with ``random``; points of area with half widths.

    Attributes:
        name: The contestant.
        ahead: Mean over the settings, with the half width of its 95 % interval over them.
        best: The setting in which it is furthest ahead.
        best_ahead: How far, with the half width of the 95 % interval over seeds.
        worst: The setting in which it is least ahead, or furthest behind.
        worst_ahead: The same there.
        helped: Number of settings in which it is significantly better at one size or more.
        hurt: Number of settings in which it is significantly worse at one size or more.
        settings: Number of settings.
    """

    name: str
    ahead: tuple[float, float]
    best: Measured
    best_ahead: tuple[float, float]
    worst: Measured
    worst_ahead: tuple[float, float]
    helped: int
    hurt: int
    settings: int

    @property
    def are_few(self) -> bool:
        """Whether the settings are two, over which an interval says next to nothing."""
        return self.settings == 2


def effects(settings: Sequence[Measured]) -> list[Effect]:
    """Returns where the common contestants helped, the one with the largest mean area first."""
    names = contestants_of(settings)
    base = names.index(BASELINE)
    wins = np.stack([significant_in(one, names).any(axis=2) for one in settings])
    found = []
    for place, name in enumerate(names):
        if name == BASELINE:
            continue
        ahead = [ahead_in(setting, name) for setting in settings]
        means = [mean for mean, _ in ahead]
        best, worst = int(np.argmax(means)), int(np.argmin(means))
        found.append(
            Effect(
                name,
                mean_and_width(means),
                settings[best],
                ahead[best],
                settings[worst],
                ahead[worst],
                int(wins[:, place, base].sum()),
                int(wins[:, base, place].sum()),
                len(settings),
            )
        )
    return sorted(found, key=lambda effect: -effect.ahead[0])


def ahead_in(setting: Measured, name: str, budget: str | None = None) -> tuple[float, float]:
    """Returns how far a contestant is ahead of ``random``, in points of area, with its width."""
    difference = setting.areas(name, budget) - setting.areas(BASELINE, budget)
    return mean_and_width(list(100 * difference))


def significant_in(setting: Measured, names: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Returns which contestants beat which in a setting, ``[m, m, k]``.

    Holm's correction is over all contestants of the setting, also those that are not named.
    """
    places = _places(setting, names)
    wins: npt.NDArray[np.bool_] = significant_wins(setting.values())[np.ix_(places, places)]
    return wins


def budget_areas(settings: Sequence[Measured], budget: str) -> dict[str, tuple[float, float, int]]:
    """Returns by contestant how far it is ahead of ``random`` in a budget, in points.

    Returns:
        Mean over the settings that cover the budget, half width of its 95 % interval over them
        (NaN with one), and their number; empty if there are none.
    """
    covering = [setting for setting in settings if setting.covers(budget)]
    if not covering:
        return {}
    ahead = {
        name: [
            100 * (setting.areas(name, budget) - setting.areas(BASELINE, budget)).mean()
            for setting in covering
        ]
        for name in contestants_of(settings)
    }
    return {name: (*mean_and_width(values), len(covering)) for name, values in ahead.items()}


def _mean(setting: Measured, name: str, is_balanced: bool) -> float:
    return float(setting.areas(name, balanced=is_balanced).mean())


def _places(setting: Measured, names: Sequence[str]) -> list[int]:
    return [list(setting.curves).index(name) for name in names]


def _shares(setting: Measured, wins: npt.NDArray[np.bool_]) -> FloatArray:
    """Returns the share of the sizes at which the row wins, ``[m, m]``."""
    share: FloatArray = wins.sum(axis=2) / max(len(setting.sizes), 1)
    return share
