"""Learning curves over the logarithm of the number of labels: heights, areas, labels needed.

The first labels matter most to whoever pays for them, so curves are linear in the logarithm of the
number of labels, and so are areas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.statistics import FloatArray


@dataclass(frozen=True, eq=False)
class LogCurve:
    """A learning curve of one run.

    Attributes:
        labels: Increasing numbers of labels above 0, ``[k]``.
        values: The metric at each of them, ``[k]``.

    Raises:
        BadgeError: Numbers of labels that do not increase, or another number of values.
    """

    labels: npt.NDArray[np.int64]
    values: FloatArray

    def __post_init__(self) -> None:
        is_curve = len(self.labels) == len(self.values) and len(self.labels) > 1
        if not is_curve or self.labels[0] < 1 or min(np.diff(self.labels)) < 1:
            raise BadgeError(
                "learning curve: expected two or more increasing numbers of labels above 0 with a "
                f"value each, got {self.labels.tolist()} and {len(self.values)} values"
            )

    def at(self, labels: npt.ArrayLike) -> FloatArray:
        """Returns the metric at numbers of labels, interpolated in their logarithm."""
        found: FloatArray = np.interp(np.log(labels), np.log(self.labels), self.values)
        return found

    def area(self, low: float, high: float) -> float:
        """Returns the mean height from ``low`` to ``high`` labels.

        Example:
            >>> LogCurve(np.array([10, 100]), np.array([0.5, 0.7])).area(10, 100)
            0.6
        """
        inside = self.labels[(self.labels > low) & (self.labels < high)]
        labels = np.concatenate([[low], inside, [high]])
        heights, log_labels = self.at(labels), np.log(labels)
        whole = float(np.trapezoid(heights, log_labels))
        return whole / float(log_labels[-1] - log_labels[0])


def areas(curves: Sequence[LogCurve], low: float, high: float) -> FloatArray:
    """Returns the area of each curve, ``[s]``."""
    return np.array([curve.area(low, high) for curve in curves])


def on_grid(curves: Sequence[LogCurve], grid: npt.ArrayLike) -> FloatArray:
    """Returns the metric of each curve at the same numbers of labels, ``[s, k]``."""
    return np.stack([curve.at(grid) for curve in curves])


def first_reached(grid: npt.ArrayLike, values: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Returns the first number of labels at which curves reach a value; NaN where they do not.

    Args:
        grid: Increasing numbers of labels ``[k]``.
        values: Curves ``[..., k]``, linear in the logarithm of the number of labels.
        target: The value to reach, ``[...]``.

    Example:
        >>> first_reached([10, 100, 1000], [[0.5, 0.7, 0.9], [0.1, 0.2, 0.3]], [0.7, 0.7])
        array([100.,  nan])
    """
    log_labels, heights = np.log(np.asarray(grid, float)), np.asarray(values, float)
    wanted = np.asarray(target, float)[..., None]
    is_reached = heights >= wanted
    right = is_reached.argmax(axis=-1)
    left = np.maximum(right - 1, 0)
    y0 = np.take_along_axis(heights, left[..., None], -1)[..., 0]
    y1 = np.take_along_axis(heights, right[..., None], -1)[..., 0]
    rise = np.where(y1 > y0, y1 - y0, 1.0)
    share = np.clip((wanted[..., 0] - y0) / rise, 0.0, 1.0)
    found = np.exp(log_labels[left] + share * (log_labels[right] - log_labels[left]))
    found = np.where(right == 0, np.exp(log_labels[0]), found)
    reached: FloatArray = np.where(is_reached.any(axis=-1), found, np.nan)
    return reached
