"""The composition of an ordering's first ranks: the share of rows of some kind among them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import COLORS, INK, clean, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = (0.05, 0.95)
_FROM = 5
# Height of a line of text, in units of the share axis.
_LINE = 0.06


def share_among_first(is_kind: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Returns the share of rows of some kind among the first k ranks, for every k.

    Args:
        is_kind: Whether the row at each rank is of that kind, ``[..., k]``.

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
    """Draws shares among the first k ranks against k on a logarithmic axis.

    A line is the mean over orderings; the band around it contains the middle 90 % of them. Ranks 1
    to 4 are omitted because a share of so few rows has no meaning.

    Args:
        shares: By name, shares ``[r, k]`` of ``r`` orderings, from `share_among_first`.
        of: What the rows of the kind are called, for the axis label.
        in_pool: The share in the whole pool, drawn as a dashed line.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 4.5 inches, white background.

    Raises:
        BadgeError: There are no shares, or some do not have the shape ``[r, k]``.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter, StrMethodFormatter

    if not shares:
        raise BadgeError("composition: expected the shares of at least one ordering, got none")
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    ends = {"in the pool": (in_pool, INK)}
    for (name, values), color in zip(shares.items(), cycle(COLORS), strict=False):
        if values.ndim != 2 or not values.size:
            raise BadgeError(
                f"composition: {name!r}: expected shares [r, k], got {list(values.shape)}"
            )
        ranks = np.arange(1, values.shape[1] + 1)
        drawn = slice(min(_FROM, len(ranks)) - 1, None)
        center = values.mean(axis=0)
        axes.plot(ranks[drawn], center[drawn], color=color, lw=2.2, label=plain(name))
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
    axes.set_ylabel(plain(f"share of {of}"), fontsize=13, color=INK)
    clean(axes)
    axes.margins(x=0)
    _name_ends(axes, ends)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure


def _name_ends(axes: Axes, ends: Mapping[str, tuple[float, str]]) -> None:
    """Writes names to the right of their lines' ends; moves up names that would overlap."""
    height = -np.inf
    for name, (share, color) in sorted(ends.items(), key=lambda end: end[1][0]):
        height = max(share, height + _LINE)
        axes.annotate(
            *(plain(name), (1.0, height)),
            xycoords=("axes fraction", "data"),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=12,
            color=color,
            annotation_clip=False,
        )
