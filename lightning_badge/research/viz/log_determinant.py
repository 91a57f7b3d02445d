"""Log-determinants of picked rows against the number of picks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import COLORS, INK, MARKERS, clean, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_log_determinant(
    sizes: Sequence[int],
    values: Mapping[str, npt.NDArray[np.float64]],
    *,
    reference: str,
    title: str | None = None,
) -> Figure:
    """Draws log-determinants relative to a reference, per pick.

    The log-determinant changes with every pick. The figure therefore shows the difference from the
    reference's mean, divided by the number of picks. Lines are means over seeds, bands the range
    from the smallest to the largest value. If some seed's picks are linearly dependent, the
    log-determinant is minus infinity and the point is not drawn.

    Args:
        sizes: Numbers of picks ``[m]``.
        values: Log-determinants ``[seeds, m]`` by name.
        reference: The name in ``values`` to compare with.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 4.5 inches, white background.

    Raises:
        BadgeError: The reference is not in ``values``, or a table does not fit ``sizes``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    if reference not in values:
        raise BadgeError(f"reference: expected one of {', '.join(values)}, got {reference!r}")
    for name, table in values.items():
        if table.ndim != 2 or table.shape[1] != len(sizes):
            raise BadgeError(
                f"{name!r}: expected log-determinants [seeds, {len(sizes)}], got {table.shape}"
            )
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    level = values[reference].mean(axis=0)
    for (name, table), color, marker in zip(
        values.items(), cycle(COLORS), cycle(MARKERS), strict=False
    ):
        finite = np.isfinite(table).all(axis=0) & np.isfinite(level)
        gaps = (table[:, finite] - level[finite]) / np.array(sizes)[finite]
        at = np.array(sizes)[finite]
        axes.fill_between(at, gaps.min(axis=0), gaps.max(axis=0), color=color, alpha=0.15, lw=0)
        axes.plot(
            at, gaps.mean(axis=0), color=color, marker=marker, lw=2.2, ms=7, label=plain(name)
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(list(sizes)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("picks", fontsize=13, color=INK)
    axes.set_ylabel(f"log-determinant per pick,\nminus {plain(reference)}", fontsize=13, color=INK)
    clean(axes)
    axes.legend(frameon=False, fontsize=11, labelcolor=INK)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure
