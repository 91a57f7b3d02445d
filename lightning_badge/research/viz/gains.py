"""Gains against rank: the value of each pick to its strategy when it was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import COLORS, INK, clean, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lightning_badge.ordering import Ordering

_BINS_A_DECADE = 8


def draw_gains(ordering: Ordering, *, title: str | None = None) -> Figure:
    """Draws an ordering's gains against rank, both logarithmic.

    Dots are ranks, the line is the median of neighbouring ranks. A gain of 0 cannot be shown on a
    logarithmic axis; if there is a zero-gain tail, its first rank is written on the figure.

    Args:
        ordering: An ordering with gains.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 4.5 inches, white background.

    Raises:
        BadgeError: The ordering has no gains, or none above 0.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    gains = np.zeros(0) if ordering.gains is None else ordering.gains
    ranks = 1 + np.flatnonzero(gains > 0.0)
    if not len(ranks):
        raise BadgeError("gains: expected an ordering with gains above 0, got none")
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    values = gains[ranks - 1]
    axes.plot(ranks, values, "o", color=COLORS[0], ms=2.5, mew=0, alpha=0.25, rasterized=True)
    axes.plot(*_medians(ranks, values), color=COLORS[1], lw=2.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("rank", fontsize=13, color=INK)
    axes.set_ylabel("gain", fontsize=13, color=INK)
    clean(axes)
    if ranks[-1] < len(gains):
        axes.annotate(
            *(f"0 from rank {ranks[-1] + 1:,} on", (0.99, 0.95)),
            xycoords="axes fraction",
            ha="right",
            fontsize=11,
            color=INK,
        )
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure


def _medians(
    ranks: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """Returns the centers and medians of bins of equal width on a logarithmic axis."""
    bins = np.floor(_BINS_A_DECADE * np.log10(ranks)).astype(np.int64)
    members = [np.flatnonzero(bins == number) for number in np.unique(bins)]
    middles = [float(np.exp(np.log(ranks[rows]).mean())) for rows in members]
    return middles, [float(np.median(values[rows])) for rows in members]
