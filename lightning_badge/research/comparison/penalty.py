"""The pairwise penalty matrix of the BADGE paper (arXiv 1906.03671, section 5)."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from lightning_badge.research.comparison.setting import Labels, Setting
from lightning_badge.research.comparison.statistics import FloatArray, beats

SATURATED = 0.99


def label_sizes(setting: Setting, baseline: str | None = None) -> Labels:
    """Returns the numbers of labels at which the contestants of a setting are tested.

    As in the paper they double: the initial labels and 1, 2, 4, ... query sizes, while learning
    still goes on, that is, before the baseline's mean reaches 99 % of its last mean. Where query
    sizes vary, the smallest one counts, and of several budgets the one where that is largest.

    Args:
        setting: Learning curves.
        baseline: The contestant that says when learning is over, ``random`` in the paper; None,
            or one that is not there, uses all sizes up to the end.
    """
    step, room = setting.query_size, setting.last_labels - setting.first_labels
    sizes = setting.first_labels + step * 2 ** np.arange(int(np.log2(room // step)) + 1)
    if baseline not in setting.curves:
        return sizes
    means = setting.at([*sizes, setting.last_labels])[str(baseline)].mean(axis=0)
    is_over = means[:-1] >= SATURATED * means[-1]
    return sizes[: int(np.argmax(is_over))] if is_over.any() else sizes


def penalty_matrix(
    settings: Sequence[Setting], confidence: float, *, baseline: str | None = None
) -> FloatArray:
    """Counts for each pair of contestants in how many settings one beats the other.

    Each setting has the same weight: where i beats j at one of its n numbers of labels, by a
    two-sided t-test paired by seed, 1 / n is added to P[i, j].

    The paper's text tests at p < 0.05, |t| > 2.776 with its five seeds; 0.95 is the same.

    Args:
        settings: All with the same contestants.
        confidence: Of the test.
        baseline: See `label_sizes`.

    Returns:
        ``[m, m]`` in the order of the contestants, each entry at most the number of settings. A
        low mean of column j says that j is seldom beaten.

    Raises:
        BadgeError: Fewer than two seeds, or a confidence outside (0, 1).
    """
    names = list(settings[0].curves)
    penalty: FloatArray = np.zeros((len(names), len(names)))
    for setting in settings:
        sizes = label_sizes(setting, baseline)
        values = setting.at(sizes)
        for (row, ours), (column, theirs) in product(enumerate(names), repeat=2):
            won = beats(values[ours], values[theirs], confidence)
            penalty[row, column] += won.sum() / max(len(sizes), 1)
    return penalty
