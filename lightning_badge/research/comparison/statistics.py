"""Student's t over seeds: confidence intervals of means, and paired tests between contestants."""

import math

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError

FloatArray = npt.NDArray[np.float64]


def mean_interval(values: npt.ArrayLike, confidence: float = 0.95) -> tuple[FloatArray, FloatArray]:
    """Returns the mean over seeds and the half width of its t-interval.

    Args:
        values: ``[s, ...]``, a row for each seed.
        confidence: Probability that an interval contains the true mean, if errors are normal.

    Returns:
        Mean and half width, both ``[...]``.

    Raises:
        BadgeError: There are fewer than two seeds, or ``confidence`` is outside (0, 1).

    Example:
        >>> mean, half_width = mean_interval([0.5, 0.7])
        >>> f"{mean:.2f} +- {half_width:.2f}"
        '0.60 +- 1.27'
    """
    rows = np.asarray(values, dtype=np.float64)
    quantile = t_quantile(len(rows), confidence)
    return rows.mean(axis=0), quantile * rows.std(axis=0, ddof=1) / math.sqrt(len(rows))


def beats(ours: npt.ArrayLike, theirs: npt.ArrayLike, confidence: float) -> npt.NDArray[np.bool_]:
    """Tests where one contestant is better than another: two-sided t-test paired by seed.

    The t-score of s seeds (arXiv 1906.03671, section 5) is sqrt(s) times the mean of the
    differences divided by their standard deviation, which is normalized by s - 1. If all
    differences are equal, their sign decides.

    Args:
        ours: ``[s, ...]``, a row for each seed; higher is better.
        theirs: ``[s, ...]`` of the other contestant, with the same seeds.
        confidence: Confidence level of the test; 0.95 requires p < 0.05.

    Returns:
        Whether ``ours`` is significantly better, ``[...]``.

    Raises:
        BadgeError: There are fewer than two seeds, or ``confidence`` is outside (0, 1).
    """
    difference = np.asarray(ours, dtype=np.float64) - np.asarray(theirs, dtype=np.float64)
    seeds = len(difference)
    quantile = t_quantile(seeds, confidence)
    better: npt.NDArray[np.bool_] = math.sqrt(seeds) * difference.mean(
        axis=0
    ) > quantile * difference.std(axis=0, ddof=1)
    return better


def t_quantile(seeds: int, confidence: float) -> float:
    """Returns the two-sided quantile of Student's t with ``seeds - 1`` degrees of freedom.

    Raises:
        BadgeError: There are fewer than two seeds, or ``confidence`` is outside (0, 1).
    """
    from scipy.stats import t

    if seeds < 2:
        raise BadgeError(f"seeds: expected at least 2 for an interval or a test, got {seeds}")
    if not 0 < confidence < 1:
        raise BadgeError(f"confidence: expected a number between 0 and 1, got {confidence!r}")
    return float(t.ppf((1 + confidence) / 2, seeds - 1))
