"""Norms of gradient embeddings: rows with small norms would hardly change the model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import FAINT, INK, class_color, clean, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


def share_near_origin(norms: npt.ArrayLike, fraction: float) -> float:
    """Returns the share of rows whose norm is below a fraction of the largest norm.

    Args:
        norms: Norms ``[n]``.
        fraction: Fraction of the largest norm.

    Example:
        >>> share_near_origin([0.1, 0.5, 10.0, 0.9], 0.1)
        0.75
    """
    values = np.asarray(norms)
    return float((values < fraction * values.max(initial=0.0)).mean()) if values.size else 0.0


def draw_norms(
    norms: npt.ArrayLike,
    labels: npt.ArrayLike,
    class_names: Sequence[str],
    *,
    near: float = 0.1,
    unseen: Collection[int] = (),
    title: str | None = None,
) -> Figure:
    """Draws quantiles of the norms in each class on a logarithmic axis.

    A thin line spans the middle 80 % of a class, a thick one the middle half, and a dot marks the
    median. A vertical line marks ``near`` times the largest norm.

    Args:
        norms: Norms of the embeddings ``[n]``.
        labels: True classes ``[n]``.
        class_names: Names of all classes.
        near: Fraction of the largest norm below which a row counts as near the origin.
        unseen: Classes without training samples; they are marked.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 5 inches, white background.

    Raises:
        BadgeError: The numbers of norms and labels differ, or no norm is above 0.
    """
    from matplotlib.figure import Figure

    values, classes = np.asarray(norms, dtype=np.float64), np.asarray(labels)
    if values.shape != classes.shape or not values.max(initial=0.0) > 0.0:
        raise BadgeError(
            "norms: expected norms [n], some above 0, and as many labels, got "
            f"{list(values.shape)} and {list(classes.shape)}"
        )
    # A logarithmic axis cannot show a norm of 0: it is drawn as the smallest positive norm.
    values = values.clip(min=values[values > 0.0].min())
    figure = Figure(figsize=(8, 5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for label in range(len(class_names)):
        of_class = values[classes == label]
        if len(of_class):
            low, lower, middle, upper, high = np.quantile(of_class, _QUANTILES)
            color = class_color(label)
            axes.plot([low, high], [label] * 2, color=color, lw=2, solid_capstyle="butt")
            axes.plot([lower, upper], [label] * 2, color=color, lw=9, solid_capstyle="butt")
            axes.plot(middle, label, "o", color="white", ms=6, mec=INK)
    bound = near * values.max()
    axes.axvline(bound, color=INK, lw=1, ls=(0, (4, 3)))
    share = share_near_origin(values, near)
    text = f"{share:.0%} of all rows are below\n{near:.0%} of the largest norm"
    axes.annotate(
        *(text, (bound, 1.0)),
        xycoords=("data", "axes fraction"),
        xytext=(-8, -6),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=11,
        color=INK,
    )
    names = [
        plain(f"{name} (unseen)" if i in unseen else name) for i, name in enumerate(class_names)
    ]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -1.6)
    axes.set_xscale("log")
    axes.set_xlabel("norm of the gradient embedding", fontsize=13, color=INK)
    axes.set_ylabel("true class", fontsize=13, color=INK)
    clean(axes)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", color=FAINT, lw=0.8)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure
