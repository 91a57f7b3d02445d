"""Your data and budget -> strategy -> labels saved, and where it hurts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zlib import crc32

from compare.data_sets import CLASSES
from compare.evidence import contestants_of
from compare.measured import BASELINE, BUDGETS, Measured, mean_and_width
from lightning_badge.research.comparison.log_curves import on_grid
from lightning_badge.research.comparison.savings import Saved, labels_saved, mean_saved

SPECIAL = {
    "rare classes": ("banking77_imbalanced", "mnist_imbalanced"),
    "copies": ("banking77_copies", "mnist_copies"),
}
MANY_CLASSES = 20
_OTHERS = [name for name in CLASSES if not any(name in special for special in SPECIAL.values())]
KINDS = {
    "few classes": tuple(name for name in _OTHERS if CLASSES[name] < MANY_CLASSES),
    "many classes": tuple(name for name in _OTHERS if CLASSES[name] >= MANY_CLASSES),
    **SPECIAL,
}
LEAST_DATA_SETS = 2  # one data set says nothing about others


@dataclass(frozen=True)
class Advice:
    """What to use for one kind of data and one budget.

    Attributes:
        kind: Kind of data.
        budget: ``low``, ``middle`` or ``high``.
        data_sets: Number of data sets.
        strategy: The one that saves most labels.
        saved: What it saves, in the mean over the data sets.
        worst: The data set in which it saves least; of equal ones that of the lowest accuracy.
        worst_saved: What it saves there.
        worst_ahead: Its accuracy there at the end of the budget minus that of ``random``, in
            points, with the half width of its 95 % interval over seeds.
        reference_saved: What another strategy saves, which was not chosen for these data.
    """

    kind: str
    budget: str
    data_sets: int
    strategy: str
    saved: Saved
    worst: str
    worst_saved: Saved
    worst_ahead: tuple[float, float]
    reference_saved: Saved

    @property
    def too_thin(self) -> str | None:
        """Why the runs do not suffice for an advice; None if they do."""
        if self.data_sets < LEAST_DATA_SETS:
            return "one data set"
        if self.saved.interval()[0] <= 0:
            return "the interval contains 0"
        return None


def advices(settings: Sequence[Measured], reference: str) -> list[Advice]:
    """Returns the advice for each kind of data and budget that a data set covers.

    Args:
        settings: Settings.
        reference: Strategy to compare with.
    """
    return [
        _advice(kind, budget, covering, reference)
        for kind, members in KINDS.items()
        for budget in BUDGETS
        if (covering := list(_covering(settings, members, budget)))
    ]


def saved_in(setting: Measured, name: str, budget: str) -> Saved | None:
    """Returns the labels that a contestant saves until the end of a budget; None outside it."""
    end = setting.end_of(budget)
    if end is None:
        return None
    grid = setting.grid(end)
    ours, theirs = (on_grid(setting.curves[one], grid) for one in (name, BASELINE))
    return labels_saved(ours, theirs, grid, end, seed=crc32(setting.name.encode()))


def _advice(kind: str, budget: str, covering: Sequence[Measured], reference: str) -> Advice:
    names = [name for name in contestants_of(covering) if name != BASELINE]
    parts = {
        name: [part for one in covering if (part := saved_in(one, name, budget))] for name in names
    }
    means = {name: mean_saved(several) for name, several in parts.items()}
    best = max(names, key=lambda name: means[name].share)
    found = [
        (part.share, _ahead_at_the_end(one, best, budget), one.data, part)
        for one, part in zip(covering, parts[best], strict=True)
    ]
    _, ahead, worst, worst_saved = min(found, key=lambda item: item[:2])
    return Advice(
        kind,
        budget,
        len({one.data for one in covering}),
        best,
        means[best],
        worst,
        worst_saved,
        ahead,
        means[reference],
    )


def _ahead_at_the_end(setting: Measured, name: str, budget: str) -> tuple[float, float]:
    end = setting.end_of(budget)
    assert end is not None  # that of `_covering`
    ours, theirs = (on_grid(setting.curves[one], [end])[:, 0] for one in (name, BASELINE))
    return mean_and_width(list(100 * (ours - theirs)))


def _covering(
    settings: Sequence[Measured], members: Sequence[str], budget: str
) -> Iterator[Measured]:
    for setting in settings:
        if setting.data in members and setting.end_of(budget) is not None:
            yield setting
