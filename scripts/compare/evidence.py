"""What a table of results says: areas, significant losses, penalties, labels saved, the default."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import numpy.typing as npt

from compare.measured import BASELINE, BUDGETS, Measured, mean_and_width
from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.log_curves import on_grid
from lightning_badge.research.comparison.paired_tests import significant_wins, wins_at
from lightning_badge.research.comparison.savings import Saved, labels_saved, mean_saved
from lightning_badge.research.comparison.statistics import FloatArray, mean_interval

# Strategies that the default of data=folder is not chosen from: they need dropout, or a package
# that may be missing.
NO_DEFAULT = {"bald", "batchbald", "probcover", "typiclust"}
KINDS = {
    "few classes": (
        *("breast_cancer", "digits", "mnist", "penbased", "satimage", "segment", "sentences"),
        *("texture", "vehicle", "vowel"),
    ),
    "many classes": ("banking77", "letter"),
    "rare classes": ("banking77_imbalanced", "mnist_imbalanced"),
    "copies": ("banking77_copies", "mnist_copies"),
}


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
    several = [_shares(setting, significant_wins(_values(setting, names))) for setting in settings]
    wins = np.sum(several, axis=0)
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


def penalties(settings: Sequence[Measured]) -> FloatArray:
    """Returns the penalty matrix of the BADGE paper, ``[m, m]``, of the common contestants."""
    names = contestants_of(settings)
    several = [_shares(setting, wins_at(_values(setting, names))) for setting in settings]
    matrix: FloatArray = np.sum(several, axis=0)
    return matrix


def default_of(found: Sequence[Standing]) -> Standing:
    """Returns the default of ``data=folder`` by the rules: fewest losses, then the largest area."""
    able = [standing for standing in found if standing.name.split()[0] not in NO_DEFAULT]
    return min(able, key=lambda standing: (round(standing.losses, 9), -standing.area))


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


def saved_in(setting: Measured, name: str, budget: str) -> Saved | None:
    """Returns the labels that a contestant saves until the end of a budget; None outside it."""
    end = setting.end_of(budget)
    if end is None:
        return None
    grid = setting.grid(end)
    ours, theirs = (on_grid(setting.curves[one], grid) for one in (name, BASELINE))
    return labels_saved(ours, theirs, grid, end, seed=crc32(setting.name.encode()))


@dataclass(frozen=True)
class Advice:
    """What to use for one kind of data and one budget.

    Attributes:
        kind: Kind of data.
        budget: ``low``, ``middle`` or ``high``.
        settings: Number of settings.
        strategy: The one that saves most labels.
        saved: What it saves, in the mean over the settings.
        worst: The setting in which it saves least.
        worst_saved: What it saves there.
        default_saved: What the default saves.
    """

    kind: str
    budget: str
    settings: int
    strategy: str
    saved: Saved
    worst: str
    worst_saved: float
    default_saved: Saved


def advices(settings: Sequence[Measured], default: str) -> list[Advice]:
    """Returns the advice for each kind of data and budget that was measured."""
    names = [name for name in contestants_of(settings) if name != BASELINE]
    found = []
    for kind, members in KINDS.items():
        for budget in BUDGETS:
            covering = [
                setting
                for setting in settings
                if setting.data in members and setting.end_of(budget) is not None
            ]
            if not covering:
                continue
            parts = {
                name: [part for one in covering if (part := saved_in(one, name, budget))]
                for name in names
            }
            means = {name: mean_saved(several) for name, several in parts.items()}
            best = max(names, key=lambda name: means[name].share)
            worst = min(range(len(covering)), key=lambda place: parts[best][place].share)
            found.append(
                Advice(
                    kind,
                    budget,
                    len(covering),
                    best,
                    means[best],
                    covering[worst].data,
                    parts[best][worst].share,
                    means[default],
                )
            )
    return found


def _mean(setting: Measured, name: str, is_balanced: bool) -> float:
    return float(setting.areas(name, balanced=is_balanced).mean())


def _values(setting: Measured, names: Sequence[str]) -> FloatArray:
    places = [list(setting.curves).index(name) for name in names]
    values: FloatArray = setting.values()[places]
    return values


def _shares(setting: Measured, wins: npt.NDArray[np.bool_]) -> FloatArray:
    """Returns the share of the sizes at which the row wins, ``[m, m]``."""
    share: FloatArray = wins.sum(axis=2) / max(len(setting.sizes), 1)
    return share
