"""Metrics of learning curves and queries, as functions and as torchmetrics classes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lightning_badge.exceptions import BadgeError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def area_under_learning_curve(labels: Tensor, values: Tensor) -> Tensor:
    """Returns the mean height of a learning curve: its area divided by the range of its labels.

    It compares curves over the same numbers of labels. For a constant curve it is that constant.

    Args:
        labels: Numbers of labels ``[r]``, in any order. Values at equal numbers are averaged.
        values: The metric at each number of labels ``[r]``; NaN if unknown.

    Returns:
        A float64 scalar; NaN if no value is known.

    Raises:
        BadgeError: Unequal lengths, or no points.
    """
    labels, values = _curve(labels, values)
    if len(labels) < 2:
        return values.mean()
    return torch.trapezoid(values, labels) / (labels[-1] - labels[0])


def labels_to_reach(labels: Tensor, values: Tensor, target: float) -> Tensor:
    """Returns the smallest number of labels at which a learning curve reaches a value.

    The curve is interpolated linearly between its points.

    Args:
        labels: As in `area_under_learning_curve`.
        values: As in `area_under_learning_curve`.
        target: The value to reach.

    Returns:
        A float64 scalar; NaN if the curve does not reach the value.

    Raises:
        BadgeError: Unequal lengths, or no points.
    """
    labels, values = _curve(labels, values)
    reached = (values >= target).nonzero()
    if not len(reached):
        return torch.tensor(torch.nan, dtype=torch.float64)
    right = int(reached[0])
    if right == 0:
        return labels[0]
    share = (target - values[right - 1]) / (values[right] - values[right - 1])
    return labels[right - 1] + share * (labels[right] - labels[right - 1])


def class_histogram(targets: Tensor, num_classes: int) -> Tensor:
    """Returns how often each class occurs in ``targets`` ``[k]``, ``[num_classes]`` int64.

    Raises:
        BadgeError: Targets that are not integers in ``[0, num_classes)``.
    """
    targets = targets.detach().reshape(-1)
    if targets.is_floating_point() or (
        len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < num_classes
    ):
        raise BadgeError(f"targets: expected integers from 0 to {num_classes - 1}, got {targets}")
    return torch.bincount(targets.long(), minlength=num_classes)


def normalized_entropy(counts: Tensor) -> Tensor:
    """Returns the entropy of a class histogram ``[c]`` divided by ``log(c)``; 1 if uniform.

    Returns:
        A float64 scalar in [0, 1]; NaN for an empty histogram, 0 for a single class.
    """
    entropy: Tensor = torch.special.entr(counts.double() / counts.sum()).sum()
    return entropy / math.log(len(counts)) if len(counts) > 1 else entropy


def _curve(labels: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the known points sorted by labels, averaging values at equal numbers of labels."""
    labels, values = labels.detach().double().reshape(-1), values.detach().double().reshape(-1)
    if len(labels) != len(values) or not len(labels):
        raise BadgeError(
            f"learning curve: expected one value for each number of labels, got {len(labels)} "
            f"numbers of labels and {len(values)} values"
        )
    known = ~values.isnan()
    distinct, which = torch.unique(labels[known], return_inverse=True)
    sums = torch.zeros_like(distinct).index_add_(0, which, values[known])
    return distinct, sums / torch.bincount(which, minlength=len(distinct))


class _LearningCurveMetric(Metric):
    """Collects points of a learning curve; each process may hold a part of them or all of them."""

    is_differentiable = False
    full_state_update = False

    labels: list[Tensor]
    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("labels", default=[], dist_reduce_fx="cat")
        self.add_state("values", default=[], dist_reduce_fx="cat")

    def update(self, labels: float | Tensor, values: float | Tensor) -> None:
        """Adds points: numbers of labels and the metric at each, both a number or ``[r]``."""
        for state, added in ((self.labels, labels), (self.values, values)):
            tensor = torch.as_tensor(added, dtype=torch.float64, device=self.device)
            state.append(tensor.reshape(-1))

    def plot(
        self, val: Tensor | Sequence[Tensor] | None = None, ax: Axes | None = None
    ) -> tuple[Figure | None, Axes]:
        """Plots one or several values, as torchmetrics does.

        Args:
            val: Result of ``compute`` or ``forward``; None computes it.
            ax: Axes to draw into; None creates a figure.

        Returns:
            The new figure, or None, and the axes.
        """
        drawn: Any = self._plot(val, ax)
        return drawn[0], drawn[1]


class AreaUnderLearningCurve(_LearningCurveMetric):
    """Mean height of a learning curve, see `area_under_learning_curve`.

    Example:
        >>> area = AreaUnderLearningCurve()
        >>> area.update(10, 0.5)
        >>> area.update(30, 0.7)
        >>> round(area.compute().item(), 3)
        0.6
    """

    higher_is_better = True

    def compute(self) -> Tensor:
        """Returns the area over the points so far."""
        return area_under_learning_curve(dim_zero_cat(self.labels), dim_zero_cat(self.values))


class LabelsToReach(_LearningCurveMetric):
    """Number of labels needed to reach a value, see `labels_to_reach`.

    Args:
        target: The value to reach.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    Example:
        >>> needed = LabelsToReach(0.6)
        >>> needed.update([10, 30], [0.5, 0.7])
        >>> round(needed.compute().item(), 3)
        20.0
    """

    higher_is_better = False

    def __init__(self, target: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target = target

    def compute(self) -> Tensor:
        """Returns the labels needed, over the points so far."""
        points = dim_zero_cat(self.labels), dim_zero_cat(self.values)
        return labels_to_reach(*points, self.target)


class QueryComposition(Metric):
    """Class histogram of queried samples, and its entropy, which is 1 if the classes are balanced.

    Args:
        num_classes: Number of classes; a class is an integer from 0 on.
        **kwargs: Arguments of ``torchmetrics.Metric``.

    Example:
        >>> composition = QueryComposition(num_classes=2)
        >>> composition.update(torch.tensor([0, 1, 1, 0]))
        >>> composition.compute()["histogram"].tolist()
        [2, 2]
    """

    is_differentiable = False
    full_state_update = False
    higher_is_better = None

    counts: Tensor

    def __init__(self, num_classes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if num_classes < 1:
            raise BadgeError(f"num_classes: expected 1 or more, got {num_classes}")
        self.num_classes = num_classes
        counts = torch.zeros(num_classes, dtype=torch.int64)
        self.add_state("counts", default=counts, dist_reduce_fx="sum")

    def update(self, targets: Tensor) -> None:
        """Adds the classes ``[k]`` of queried samples."""
        self.counts += class_histogram(targets, self.num_classes)

    def compute(self) -> dict[str, Tensor]:
        """Returns ``histogram`` ``[num_classes]`` and ``entropy``."""
        return {"histogram": self.counts.clone(), "entropy": normalized_entropy(self.counts)}

    def plot(
        self, val: dict[str, Tensor] | None = None, ax: Axes | None = None
    ) -> tuple[Figure | None, Axes]:
        """Plots the histogram as bars.

        Args:
            val: Result of ``compute`` or ``forward``; None computes it.
            ax: Axes to draw into; None creates a figure.

        Returns:
            The new figure, or None, and the axes.
        """
        histogram = (self.compute() if val is None else val)["histogram"]
        from matplotlib import pyplot

        figure, axes = pyplot.subplots() if ax is None else (None, ax)
        axes.bar(range(self.num_classes), histogram.tolist())
        axes.set(xlabel="class", ylabel="queried samples", title=type(self).__name__)
        return figure, axes
