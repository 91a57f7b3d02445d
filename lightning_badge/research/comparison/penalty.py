"""The pairwise penalty matrix of the BADGE paper (arXiv 1906.03671, section 5)."""

from collections.abc import Sequence
from itertools import product

import numpy as np

from lightning_badge.research.comparison.setting import Labels, Setting
from lightning_badge.research.comparison.statistics import FloatArray, beats

SATURATED = 0.99


def label_sizes(setting: Setting, baseline: str | None = None) -> Labels:
    """Returns the numbers of labels at which the contestants of a setting are tested.

    As in the paper, the numbers double: the initial labels plus 1, 2, 4, ... query sizes, as long
    as the baseline's mean is below 99 % of its last mean. The query size is `Setting.query_size`.

    Args:
        setting: Learning curves.
        baseline: The contestant whose saturation ends the tests, ``random`` in the paper; if None
            or not in the setting, all sizes up to the last labels are used.
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

    All settings have equal weight: each time i beats j at one of a setting's n numbers of labels,
    by a two-sided t-test paired by seed, 1 / n is added to P[i, j].

    The paper tests at p < 0.05, |t| > 2.776 with its five seeds: that is confidence 0.95.

    Args:
        settings: Settings with the same contestants.
        confidence: Confidence level of the test.
        baseline: See `label_sizes`.

    Returns:
        ``[m, m]`` in the order of the contestants, each entry at most the number of settings. A
        low mean of column j means that j is seldom beaten.

    Raises:
        BadgeError: There are fewer than two seeds, or ``confidence`` is outside (0, 1).
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
