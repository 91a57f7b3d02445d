"""The confusion matrix of true and predicted classes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import INK, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_matrix(
    labels: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int
) -> npt.NDArray[np.int64]:
    """Counts how often each true class was predicted as each class.

    Args:
        labels: True classes ``[n]``.
        predicted: Predicted classes ``[n]``.
        n_classes: Number of classes.

    Returns:
        Counts ``[n_classes, n_classes]``: rows are true classes, columns predicted ones.

    Raises:
        BadgeError: The lengths differ, or a class is outside 0..n_classes - 1.

    Example:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
        [[1, 1], [0, 1]]
    """
    true, seen_as = np.asarray(labels), np.asarray(predicted)
    if true.ndim != 1 or true.shape != seen_as.shape:
        raise BadgeError(
            "confusion matrix: expected true and predicted classes [n], got "
            f"{list(true.shape)} and {list(seen_as.shape)}"
        )
    both = np.concatenate([true, seen_as])
    if len(both) and not 0 <= both.min() <= both.max() < n_classes:
        raise BadgeError(
            f"confusion matrix: expected classes 0 to {n_classes - 1}, got {both.min()} to "
            f"{both.max()}"
        )
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (true.astype(np.int64), seen_as.astype(np.int64)), 1)
    return counts


def draw_confusion(
    matrix: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    unseen: Collection[int] = (),
    title: str | None = None,
) -> Figure:
    """Draws a confusion matrix: counts as numbers, shares of the true class as shades.

    Args:
        matrix: Counts ``[classes, classes]`` from `confusion_matrix`.
        class_names: Names of all classes.
        unseen: Classes without training samples; they are marked.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 6.5 inches, white background.

    Raises:
        BadgeError: The matrix does not have one row and one column for each name.
    """
    from matplotlib.figure import Figure

    counts, n = np.asarray(matrix), len(class_names)
    if counts.shape != (n, n):
        raise BadgeError(f"confusion matrix: expected {[n, n]}, got {list(counts.shape)}")
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    figure = Figure(figsize=(8, 6.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.1)
    for (true, seen_as), count in np.ndenumerate(counts):
        if count:
            ink = "white" if shares[true, seen_as] > 0.6 else INK
            axes.text(seen_as, true, f"{count:,}", ha="center", va="center", color=ink, fontsize=11)
    class_names = [plain(name) for name in class_names]
    names = [f"{name} (unseen)" if i in unseen else name for i, name in enumerate(class_names)]
    axes.set_xticks(range(n), class_names)
    axes.set_yticks(range(n), names)
    for tick, label in enumerate(axes.get_yticklabels()):
        label.set_fontweight("bold" if tick in unseen else "normal")
    axes.tick_params(length=0, colors=INK, labelsize=12)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("hallucinated label", fontsize=13, color=INK)
    axes.set_ylabel("true class", fontsize=13, color=INK)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure
