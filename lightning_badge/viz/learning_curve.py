"""Learning curves: a metric against the number of labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, TypeAlias

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import COLORS, INK, MARKERS, clean, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Curve: TypeAlias = tuple[Sequence[int], Sequence[float]]

_ROOM = 0.03  # above 100 %, as a share of the height of the axes: half of a marker


def draw_learning_curve(
    curves: Mapping[str, Curve], *, metric: str = "accuracy", title: str | None = None
) -> Figure:
    """Draws one learning curve for each name, with one marker for each round.

    The axis of labels is logarithmic if the labels span more than a factor of ten. No global
    state of matplotlib is used, so it works in any thread and without a display.

    Args:
        curves: Numbers of labels ``[r]``, at least 1, and metric values ``[r]``, by name.
        metric: Name of the metric; values in [0, 1] are drawn in per cent.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 4.5 inches, white background.

    Raises:
        BadgeError: There is no curve, or one is empty or has unequal numbers of labels and values.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    _check(curves)
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white", layout=layout)
    axes = figure.add_subplot()
    for (name, (labels, values)), color, marker in zip(
        curves.items(), cycle(COLORS), cycle(MARKERS), strict=False
    ):
        axes.plot(
            labels, values, color=color, marker=marker, lw=2.2, ms=7, mec="white", label=plain(name)
        )
    scale_labels(axes, [count for labels, _ in curves.values() for count in labels])
    scale_values(axes, [value for _, values in curves.values() for value in values])
    axes.set_xlabel("labels", fontsize=13, color=INK)
    axes.set_ylabel(plain(metric), fontsize=13, color=INK)
    clean(axes)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=12, labelcolor=INK, loc="lower right")
    else:
        _head_with_last_value(axes, *next(iter(curves.values())))
    return figure


def _check(curves: Mapping[str, Curve]) -> None:
    if not curves:
        raise BadgeError("learning curve: expected at least one curve, got none")
    for name, (labels, values) in curves.items():
        if not len(labels) or len(labels) != len(values) or min(labels) < 1:
            raise BadgeError(
                f"learning curve {name!r}: expected one value for each number of labels, all at "
                f"least 1, got {len(labels)} numbers of labels and {len(values)} values"
            )


def scale_labels(axes: Axes, labels: Sequence[int]) -> None:
    """Makes the axis of labels logarithmic if they span more than a factor of ten."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

    if max(labels) > 10 * min(labels):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def scale_values(axes: Axes, values: Sequence[float]) -> None:
    """Shows a metric in per cent if all its values are in [0, 1]."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10]))
    if all(0 <= value <= 1 for value in values if value == value):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g}%"))
        low = max(axes.get_ylim()[0], 0.0)
        axes.set_ylim(low, 1.0 + _ROOM * (1.0 - low))


def _head_with_last_value(axes: Axes, labels: Sequence[int], values: Sequence[float]) -> None:
    last = f"{values[-1]:.1%}" if 0 <= values[-1] <= 1 else f"{values[-1]:.3g}"
    text = f"{last} with {labels[-1]:,} labels"
    axes.set_title(text, loc="right", fontsize=14, fontweight="bold", color=COLORS[0], pad=12)
