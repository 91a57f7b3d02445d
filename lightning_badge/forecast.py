"""What the next labels may bring: an estimate of the accuracy, with an interval.

Families of learning curves are fitted to the rounds so far. Families and their use: Figueroa et
al., "Predicting sample size required for classification performance", BMC Medical Informatics and
Decision Making 2012; Viering & Loog, "The Shape of Learning Curves: a Review", arXiv 2103.10948.
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from lightning_badge.accuracy_change import LEVEL, Interval
from lightning_badge.exceptions import BadgeError

FloatArray: TypeAlias = npt.NDArray[np.float64]

MIN_ROUNDS = 4

# What is assumed before the first round: the variance of a measured accuracy p around a smooth
# curve is about p (1 - p) (_OF_PART / validation samples + _OF_TRAINING / labels). All rounds are
# measured on the same samples, so the first term is less than that of independent parts. _KNOWN is
# the number of rounds that this counts for beside the rounds that were seen.
_OF_PART, _OF_TRAINING, _KNOWN = 0.6, 0.2, 6.0
# A share of this variance is common to rounds whose numbers of labels are alike: most of their
# training data are the same. It decays with the difference of the logarithms.
_COMMON, _RANGE = 0.5, 0.5

_REMOVABLE = (np.arange(8) + 0.5) / 8
_OFFSETS = (0.0, 4.0, 16.0)  # in numbers of labels of the first round
_EXPONENTS = np.geomspace(0.15, 3.0, 14)
_RATES = np.geomspace(0.25, 8.0, 14)  # in 1 / numbers of labels of the last round


def forecast(
    labels: Sequence[float] | FloatArray,
    accuracies: Sequence[float] | FloatArray,
    samples: int | Sequence[int] | FloatArray,
    *,
    ahead: float = 100,
) -> Interval:
    """Estimates the accuracy that will be measured with more labels.

    Curves u + (1 - u) t (1 - s(n) / s(N)) of n labels are fitted to the rounds: u is the accuracy
    with the labels N so far, t the part of the remaining errors that labels can remove, and s is
    a power (n + offset)^-c or an exponential. The estimate averages over all of them by their
    posterior probability. The priors are uniform: in u, in t, in the family, and in the logarithm
    of its parameter. The variance of the rounds around the curve is estimated with them. No curve
    falls with more labels.

    Args:
        labels: Number of labels of each round ``[r]``, 1 or more, in any order.
        accuracies: Accuracy of each round ``[r]``, the mean over its validation samples.
        samples: Number of validation samples, one for all rounds or ``[r]``.
        ahead: Number of labels beyond the most so far.

    Returns:
        The median and the interval of the accuracy as it will be measured on the same validation
        samples: with the uncertainty of the curve, and with the noise of the validation samples and
        of the training in the round to come.

    Raises:
        BadgeError: Fewer than `MIN_ROUNDS` different numbers of labels, unequal lengths, or values
            that are out of range.

    Example:
        >>> seen = forecast([20, 50, 90, 150, 220], [0.52, 0.66, 0.74, 0.79, 0.83], samples=500)
        >>> f"{seen.value:.2f} ({seen.low:.2f} to {seen.high:.2f})"
        '0.85 (0.82 to 0.89)'
    """
    n, y, m = _checked(labels, accuracies, samples, ahead)
    newest = np.argmax(n)
    points, m = np.append(n, n[newest] + ahead), np.append(m, m[newest])
    root = np.linalg.cholesky(_covariance(points, np.append(y, y[newest]), m))
    whitening = np.linalg.inv(root).T
    removed = _REMOVABLE[:, None, None] * _shapes(points)  # [t, shape, r + 1]
    # Generalised least squares: y - removed = slope * u. The last column is that of the next round.
    slope = (1 - removed) @ whitening
    rest = (np.append(y, 0.0) - removed) @ whitening
    precision = (slope[..., :-1] ** 2).sum(-1)
    u = (slope[..., :-1] * rest[..., :-1]).sum(-1) / precision
    squares = ((rest[..., :-1] - u[..., None] * slope[..., :-1]) ** 2).sum(-1)
    # Normal and inverse gamma distributions are conjugate: a Student's t for each curve.
    freedom = _KNOWN + len(n) - 1
    log_weight = -0.5 * (np.log(precision) + freedom * np.log(_KNOWN + squares))
    noise = root[-1, -1]
    mean = noise * (u * slope[..., -1] - rest[..., -1])
    variance = (_KNOWN + squares) / freedom * (1 + slope[..., -1] ** 2 / precision)
    weights = np.exp(log_weight - log_weight.max()) * _prior()
    low, value, high = _quantiles(mean, noise * np.sqrt(variance), weights, freedom)
    return Interval(value, low, high)


def _shapes(points: FloatArray) -> FloatArray:
    """Returns 1 - s(n) / s(N) for every curve and number of labels, ``[shapes, points]``.

    Args:
        points: The numbers of labels; N is the largest but that of the next round, the last one.
    """
    first, last = points[:-1].min(), points[:-1].max()
    offsets = np.array(_OFFSETS)[:, None] * first
    logarithm = np.log((points + offsets) / (last + offsets))  # [offsets, points]
    powers = -_EXPONENTS[:, None] * logarithm[:, None]  # [offsets, exponents, points]
    exponentials = -_RATES[:, None] * (points - last) / last
    log_s = np.concatenate([powers.reshape(-1, len(points)), exponentials])
    shapes: FloatArray = 1 - np.exp(np.minimum(log_s, 50))
    return shapes


def _prior() -> FloatArray:
    """Returns the prior of each shape: powers and exponentials have a half each."""
    powers = len(_OFFSETS) * len(_EXPONENTS)
    return np.repeat([0.5 / powers, 0.5 / len(_RATES)], [powers, len(_RATES)])


def _covariance(points: FloatArray, y: FloatArray, m: FloatArray) -> FloatArray:
    """Returns the assumed covariance of measured accuracies around their curve."""
    p = (y * m + 1) / (m + 2)  # inside (0, 1), so that no variance is zero
    deviation = np.sqrt(p * (1 - p) * (_OF_PART / m + _OF_TRAINING / points))
    distance = np.abs(np.subtract.outer(np.log(points), np.log(points)))
    common = _COMMON * np.exp(-distance / _RANGE)
    return np.outer(deviation, deviation) * (common + (1 - _COMMON) * np.eye(len(points)))


def _quantiles(
    mean: FloatArray, scale: FloatArray, weights: FloatArray, freedom: float
) -> tuple[float, float, float]:
    """Returns lower bound, median and upper bound of a mixture of t-distributions in [0, 1]."""
    kept = weights > weights.max() * 1e-5
    mean, scale, weights = mean[kept], scale[kept], weights[kept] / weights[kept].sum()
    z = np.sinh(np.linspace(-6, 6, 801))
    density = (1 + z**2 / freedom) ** (-(freedom + 1) / 2)
    below = np.append(0.0, np.cumsum((density[1:] + density[:-1]) * np.diff(z)))
    below /= below[-1]

    def quantile(probability: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(24):
            middle = (low + high) / 2
            if weights @ np.interp((middle - mean) / scale, z, below) < probability:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    tail = (1 - LEVEL) / 2
    return quantile(tail), quantile(0.5), quantile(1 - tail)


def _checked(
    labels: Sequence[float] | FloatArray,
    accuracies: Sequence[float] | FloatArray,
    samples: int | Sequence[int] | FloatArray,
    ahead: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    n, y = np.asarray(labels, dtype=np.float64), np.asarray(accuracies, dtype=np.float64)
    m = np.asarray(samples, dtype=np.float64)
    if n.ndim != 1 or n.shape != y.shape or m.shape not in ((), n.shape):
        raise BadgeError(
            "expected as many accuracies and numbers of validation samples as numbers of labels, "
            f"got shapes {y.shape}, {m.shape} and {n.shape}"
        )
    if (distinct := len(np.unique(n))) < MIN_ROUNDS:
        raise BadgeError(
            f"expected {MIN_ROUNDS} or more different numbers of labels, got {distinct}; label more"
        )
    if not ((n >= 1).all() and (m >= 1).all() and ((y >= 0) & (y <= 1)).all() and ahead > 0):
        raise BadgeError(
            "expected numbers of labels and of validation samples of 1 or more, accuracies in "
            f"[0, 1] and ahead > 0, got {n.tolist()}, {m.tolist()}, {y.tolist()} and {ahead!r}"
        )
    return n, y, np.broadcast_to(m, n.shape)
