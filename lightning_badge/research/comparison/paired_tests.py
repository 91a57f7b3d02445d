"""Paired t-tests of all pairs of contestants at several sizes, with Holm's correction."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.statistics import FloatArray, beats


def paired_p_values(values: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Tests every pair of contestants by a two-sided t-test that is paired by seed.

    If all differences of a pair are equal, p is 0, or 1 if they are zero.

    Args:
        values: ``[m, s, k]``: the metric of ``m`` contestants with ``s`` seeds at ``k`` sizes.

    Returns:
        Mean differences, row minus column, and p-values; both ``[m, m, k]``.

    Raises:
        BadgeError: Fewer than two seeds.
    """
    from scipy.special import stdtr

    heights = np.asarray(values, np.float64)
    seeds = heights.shape[1]
    if seeds < 2:
        raise BadgeError(f"seeds: expected at least 2 for a test, got {seeds}")
    difference = heights[:, None] - heights[None, :]
    mean, deviation = difference.mean(axis=2), difference.std(axis=2, ddof=1)
    # The roundoff of a mean of equal numbers is no deviation.
    deviation = np.where(np.ptp(difference, axis=2) == 0, 0.0, deviation)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = math.sqrt(seeds) * np.abs(mean) / deviation
    score = np.where(np.isnan(score), 0.0, score)
    p: FloatArray = 2 * stdtr(seeds - 1, -score)
    return mean, p


def holm(p_values: npt.ArrayLike) -> FloatArray:
    """Returns p-values adjusted by Holm's method, in the same order.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
        [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(len(p), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    found = np.empty_like(p)
    found[order] = adjusted
    return found


def significant_wins(values: npt.ArrayLike, level: float = 0.05) -> npt.NDArray[np.bool_]:
    """Returns which contestants beat which, corrected over all pairs and sizes.

    The probability of one wrong answer or more is at most ``level``.

    Args:
        values: As in `paired_p_values`.
        level: Of the tests together.

    Returns:
        ``[m, m, k]``: whether the row is significantly better than the column.
    """
    mean, p = paired_p_values(values)
    rows, columns = np.triu_indices(len(mean), 1)
    adjusted = np.ones_like(p)
    corrected = holm(p[rows, columns].ravel()).reshape(len(rows), -1)
    adjusted[rows, columns] = adjusted[columns, rows] = corrected
    wins: npt.NDArray[np.bool_] = (adjusted < level) & (mean > 0)
    return wins


def wins_at(values: npt.ArrayLike, confidence: float = 0.95) -> npt.NDArray[np.bool_]:
    """Returns which contestants beat which, each test for itself, as in the penalty matrix.

    Args:
        values: As in `paired_p_values`.
        confidence: Confidence level of each test.

    Returns:
        ``[m, m, k]``: whether the row is better than the column.
    """
    by_seed = np.moveaxis(np.asarray(values, np.float64), 1, 0)
    return beats(by_seed[:, :, None], by_seed[:, None], confidence)
