"""What the last labels brought: the difference of two accuracies, with an interval."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError

LEVEL = 0.8  # probability of intervals


@dataclass(frozen=True)
class Interval:
    """A value that is estimated, and bounds between which it lies with probability `LEVEL`."""

    value: float
    low: float
    high: float


def change(
    before: float, after: float, samples: int, samples_before: int | None = None
) -> Interval:
    """Returns the difference of two accuracies, with an interval over the validation samples.

    Assumes that the errors of both are independent. Models that are measured on the same samples
    make some errors in common; the interval is then too wide. `paired_change` needs to know them.

    Args:
        before: Accuracy of a round.
        after: Accuracy of a later one.
        samples: Number of validation samples of the later one.
        samples_before: That of the earlier one; None for the same number.

    Returns:
        The hybrid score interval (Newcombe, "Interval estimation for the difference between
        independent proportions", Statistics in Medicine 1998, method 10).

    Raises:
        BadgeError: An accuracy outside [0, 1], or no samples.

    Example:
        >>> brought = change(0.80, 0.84, samples=500)
        >>> f"{brought.value:+.3f} ({brought.low:+.3f} to {brought.high:+.3f})"
        '+0.040 (+0.009 to +0.071)'
    """
    first = _score_interval(before, samples if samples_before is None else samples_before)
    return _difference(first, _score_interval(after, samples), correlation=0.0)


def paired_change(before: npt.ArrayLike, after: npt.ArrayLike) -> Interval:
    """Returns the difference of two accuracies on the same validation samples.

    Args:
        before: Which samples a round classified correctly ``[m]``.
        after: The same of a later round.

    Returns:
        The hybrid score interval of paired data (Newcombe, "Improved confidence intervals for the
        difference between binomial proportions based on paired data", Statistics in Medicine 1998,
        method 10).

    Raises:
        BadgeError: Unequal lengths, or no samples.

    Example:
        >>> brought = paired_change([1] * 80 + [0] * 20, [1] * 84 + [0] * 16)
        >>> f"{brought.value:+.3f} ({brought.low:+.3f} to {brought.high:+.3f})"
        '+0.040 (+0.011 to +0.071)'
    """
    old, new = np.asarray(before, dtype=np.bool_), np.asarray(after, dtype=np.bool_)
    if old.ndim != 1 or old.shape != new.shape or not len(old):
        raise BadgeError(
            f"expected the same validation samples twice, got shapes {old.shape} and {new.shape}"
        )
    m = len(old)
    both, none = int((old & new).sum()), int((~old & ~new).sum())
    gained, lost = int((~old & new).sum()), int((old & ~new).sum())
    agreement = float(both * none - gained * lost)
    if agreement > 0:
        agreement = max(agreement - m / 2, 0.0)
    margins = (both + gained) * (lost + none) * (both + lost) * (gained + none)
    first = _score_interval((both + lost) / m, m)
    last = _score_interval((both + gained) / m, m)
    return _difference(first, last, agreement / math.sqrt(margins) if margins else 0.0)


def _difference(first: Interval, last: Interval, correlation: float) -> Interval:
    """Returns the hybrid score interval of ``last - first``."""

    def half_width(one: float, other: float) -> float:
        return math.sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0))

    difference = last.value - first.value
    return Interval(
        difference,
        difference - half_width(last.value - last.low, first.high - first.value),
        difference + half_width(last.high - last.value, first.value - first.low),
    )


def _score_interval(accuracy: float, samples: int) -> Interval:
    """Returns Wilson's interval of an accuracy."""
    if not 0 <= accuracy <= 1 or samples < 1:
        raise BadgeError(
            "expected an accuracy in [0, 1] of 1 or more validation samples, got "
            f"{accuracy!r} of {samples!r}"
        )
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    shrunk = 1 + z * z / samples
    center = (accuracy + z * z / (2 * samples)) / shrunk
    spread = accuracy * (1 - accuracy) / samples + (z / (2 * samples)) ** 2
    half_width = z * math.sqrt(spread) / shrunk
    return Interval(accuracy, center - half_width, center + half_width)
