"""What an ordering asks for first: the share of some kind of row among its first ranks."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import COLORS, INK, clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = (0.05, 0.95)
_FROM = 5
# Height of a line of text, as a share.
_LINE = 0.06


def share_among_first(is_kind: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns the share of rows of a kind among the first k ranks, for every k.

    Args:
        is_kind: Whether the row of each rank is of that kind, ``[..., k]``.

    Returns:
        Shares ``[..., k]``.

    Example:
        >>> share_among_first([True, False, True, True]).round(2).tolist()
        [1.0, 0.5, 0.67, 0.75]
    """
    hits = np.asarray(is_kind, dtype=np.bool_)
    shares: npt.NDArray[np.float64] = hits.cumsum(axis=-1) / np.arange(1, hits.shape[-1] + 1)
    return shares


def draw_composition(
    shares: Mapping[str, npt.NDArray[np.float64]],
    *,
    of: str,
    in_pool: float,
    title: str | None = None,
) -> Figure:
    """Draws shares among the first k ranks against k, which is logarithmic.

    A line is the mean over orderings; the band around it holds the middle 90 % of them. The first
    ranks are left away, where a share is hardly one.

    Args:
        shares: By name, shares ``[r, k]`` of ``r`` orderings, as `share_among_first` returns them.
        of: Of what, in words.
        in_pool: The whole pool's share, drawn as a dashed line.
        title: Heading; none where None.

    Returns:
        A matplotlib ``Figure``, 8 by 4.5 inches on white.

    Raises:
        BadgeError: No shares, or some that are not ``[r, k]``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter, StrMethodFormatter

    if not shares:
        raise BadgeError("composition: expected the shares of one ordering or more, got none")
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    ends = {"in the pool": (in_pool, INK)}
    for (name, values), color in zip(shares.items(), cycle(COLORS), strict=False):
        if values.ndim != 2 or not values.size:
            raise BadgeError(f"composition: {name!r}: expected [r, k], got {list(values.shape)}")
        ranks = np.arange(1, values.shape[1] + 1)
        drawn = slice(min(_FROM, len(ranks)) - 1, None)
        center = values.mean(axis=0)
        axes.plot(ranks[drawn], center[drawn], color=color, lw=2.2, label=name)
        if len(values) > 1:
            low, high = np.quantile(values[:, drawn], _BAND, axis=0)
            axes.fill_between(ranks[drawn], low, high, color=color, alpha=0.15, lw=0)
        ends[name] = (float(center[-1]), color)
    axes.axhline(in_pool, color=INK, lw=1, ls=(0, (4, 3)))
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_xlabel("first k ranks", fontsize=13, color=INK)
    axes.set_ylabel(f"share of {of}", fontsize=13, color=INK)
    clean(axes)
    axes.margins(x=0)
    _name_ends(axes, ends)
    if title:
        axes.set_title(title, loc="left", fontsize=12, color=INK, pad=12)
    return figure


def _name_ends(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Writes names right of where their lines end, one above the other where lines meet."""
    height = -np.inf
    for name, (share, color) in sorted(ends.items(), key=lambda end: end[1][0]):
        height = max(share, height + _LINE)
        axes.annotate(
            *(name, (1.0, height)),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=12,
            color=color,
            annotation_clip=False,
        )
