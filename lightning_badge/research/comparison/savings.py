"""Labels that a strategy saves against a baseline, with a bootstrap interval over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.log_curves import first_reached
from lightning_badge.research.comparison.statistics import FloatArray

RESAMPLES = 2000


@dataclass(frozen=True)
class Saved:
    """Labels saved as a share of the budget, from 0 to 1.

    Attributes:
        share: 1 - needed / budget; 0 if the baseline's value is not reached within the budget.
        low: Lower end of the interval.
        high: Upper end of the interval.
        needed: Number of labels needed; NaN if the value is not reached.
    """

    share: float
    low: float
    high: float
    needed: float


def labels_saved(
    ours: npt.ArrayLike,
    baseline: npt.ArrayLike,
    grid: npt.ArrayLike,
    budget: float,
    *,
    confidence: float = 0.95,
    seed: int = 0,
) -> Saved:
    """Compares the labels that two contestants need for what the baseline reaches at a budget.

    The curves are means over seeds. The seeds are drawn again 2,000 times, the same for both
    contestants; the interval has the percentiles.

    Args:
        ours: Curves of a contestant, ``[s, k]``.
        baseline: Curves of the baseline with the same seeds, ``[s, k]``.
        grid: Increasing numbers of labels ``[k]``, one of which is the budget.
        budget: Number of labels.
        confidence: Of the interval.
        seed: Of the bootstrap.

    Raises:
        BadgeError: Curves of unequal shapes, or a budget that is not on the grid.
    """
    labels = np.asarray(grid, np.float64)
    curves = np.stack([np.asarray(ours, np.float64), np.asarray(baseline, np.float64)])
    place = int(np.abs(labels - budget).argmin())
    if curves.shape[2] != len(labels) or not np.isclose(labels[place], budget):
        raise BadgeError(
            f"budget: expected one of the {curves.shape[2]} numbers of labels of the curves, got "
            f"{budget} and {len(labels)} numbers"
        )
    # Labels beyond the budget do not count as saved.
    labels, curves = labels[: place + 1], curves[:, :, : place + 1]
    seeds = curves.shape[1]
    draws = np.random.default_rng(seed).integers(seeds, size=(RESAMPLES, seeds))
    weights = np.stack([np.bincount(draw, minlength=seeds) for draw in draws]) / seeds
    share, needed = _saved(curves.mean(axis=1)[:, None], labels)
    resampled, _ = _saved(np.einsum("rs,csk->crk", weights, curves), labels)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Saved(float(share[0]), float(low), float(high), float(needed[0]))


def _saved(means: FloatArray, labels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the share of labels saved and the labels needed, ``[r]``, of means ``[2, r, k]``."""
    needed = first_reached(labels, means[0], means[1][:, -1])
    share: FloatArray = np.where(np.isnan(needed), 0.0, 1 - needed / labels[-1])
    return share, needed
