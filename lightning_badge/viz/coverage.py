"""Coverage against rank, which shows how many labels are worth asking for."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import COLORS, INK, clean, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lightning_badge.ordering import Ordering

LANDMARKS = (0.5, 0.9)


def draw_coverage(orderings: Mapping[str, Ordering], *, title: str | None = None) -> Figure:
    """Draws the share of a pool's scatter that the first ranks explain, on a logarithmic axis.

    Args:
        orderings: Orderings with coverage, by name.
        title: Heading; none if None.

    Returns:
        A matplotlib ``Figure``, 8 by 4.5 inches, white background.

    Raises:
        BadgeError: There is no ordering, or one has no coverage.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter, StrMethodFormatter

    if not orderings:
        raise BadgeError("coverage: expected at least one ordering, got none")
    figure = Figure(figsize=(8, 4.5), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    for (name, ordering), color in zip(orderings.items(), cycle(COLORS), strict=False):
        if ordering.coverage is None:
            raise BadgeError(
                f"coverage: ordering {name!r} has none; use a strategy that measures it, such as "
                "badge"
            )
        ranks = np.arange(1, len(ordering) + 1)
        axes.plot(ranks, ordering.coverage, color=color, lw=2.2, label=plain(name))
        # With several curves the annotations would overlap.
        for share in LANDMARKS if len(orderings) == 1 else ():
            enough = int(np.argmax(ordering.coverage >= share)) + 1
            if ordering.coverage[enough - 1] >= share:
                axes.plot(enough, share, "o", color=color, ms=7, mec="white")
                axes.annotate(
                    f"{share:.0%} with {enough:,}",
                    (enough, share),
                    xytext=(8, -12),
                    textcoords="offset points",
                    color=color,
                    fontsize=11,
                )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_xlabel("labels, best first", fontsize=13, color=INK)
    axes.set_ylabel("coverage", fontsize=13, color=INK)
    clean(axes)
    if len(orderings) > 1:
        axes.legend(frameon=False, loc="lower right", fontsize=11)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=12)
    return figure
