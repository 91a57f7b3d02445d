"""Labels that a strategy saves against a baseline, with a bootstrap interval over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.log_curves import first_reached
from lightning_badge.research.comparison.statistics import FloatArray

RESAMPLES = 2000


@dataclass(frozen=True, eq=False)
class Saved:
    """Labels saved as a share of the budget, from 0 to 1.

    Attributes:
        share: 1 - needed / budget; 0 if the baseline's value is not reached within the budget.
        needed: Number of labels needed; NaN if the value is not reached.
        resampled: The share in each bootstrap sample.
    """

    share: float
    needed: float
    resampled: FloatArray

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Returns the percentiles of the bootstrap samples."""
        tail = 100 * (1 - confidence) / 2
        low, high = np.percentile(self.resampled, [tail, 100 - tail])
        return float(low), float(high)


def mean_saved(parts: Sequence[Saved]) -> Saved:
    """Returns the mean over independent data sets; ``needed`` is that of none."""
    resampled = np.mean([part.resampled for part in parts], axis=0)
    return Saved(float(np.mean([part.share for part in parts])), float("nan"), resampled)


def labels_saved(
    ours: npt.ArrayLike,
    baseline: npt.ArrayLike,
    grid: npt.ArrayLike,
    budget: float,
    *,
    seed: int = 0,
) -> Saved:
    """Compares the labels that two contestants need for what the baseline reaches at a budget.

    The curves are means over seeds. For the interval the seeds are drawn again 2,000 times, the
    same for both contestants.

    Args:
        ours: Curves of a contestant, ``[s, k]``.
        baseline: Curves of the baseline with the same seeds, ``[s, k]``.
        grid: Increasing numbers of labels ``[k]``, one of which is the budget.
        budget: Number of labels.
        seed: Of the bootstrap; different ones for data sets whose mean is wanted.

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
    return Saved(float(share[0]), float(needed[0]), resampled)


def _saved(means: FloatArray, labels: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the share of labels saved and the labels needed, ``[r]``, of means ``[2, r, k]``."""
    needed = first_reached(labels, means[0], means[1][:, -1])
    share: FloatArray = np.where(np.isnan(needed), 0.0, 1 - needed / labels[-1])
    return share, needed
