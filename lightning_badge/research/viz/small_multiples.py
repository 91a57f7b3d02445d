"""Learning curves of many data sets: a small panel for each, labels on a logarithmic axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.comparison import Band
from lightning_badge.viz.style import COLORS, INK, clean, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 4


def draw_small_multiples(
    panels: Mapping[str, Mapping[str, Band]], *, metric: str, baseline: str
) -> Figure:
    """Draws mean learning curves with their intervals, a panel for each data set.

    Args:
        panels: Bands by title and contestant; all panels have the same contestants.
        metric: Name of the metric, in per cent.
        baseline: The contestant that is drawn dashed.

    Returns:
        A matplotlib ``Figure``, white background, with one legend above all panels.

    Raises:
        BadgeError: There are no panels, or more contestants than colours.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(name for bands in panels.values() for name in bands))
    others = [name for name in names if name != baseline]
    if not panels or not 1 <= len(others) <= len(COLORS):
        raise BadgeError(
            f"learning curves: expected panels with 1 to {len(COLORS)} contestants beside "
            f"{baseline}, got {len(panels)} panels with {len(others)}"
        )
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    size = max(6.0, 2.6 * columns), 0.7 + 2.1 * rows
    figure = Figure(figsize=size, dpi=110, facecolor="white", layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, bands) in zip(grid, panels.items(), strict=False):
        axes.set_title(plain(title), loc="left", fontsize=9, color=INK)
        for name, band in bands.items():
            color = INK if name == baseline else COLORS[others.index(name)]
            _draw(axes, band, plain(name), color, is_baseline=name == baseline)
        _scale(axes)
        # Intervals of few seeds may be wider than the curves are high.
        heights = [100 * value for band in bands.values() for value in band.mean]
        room = 0.15 * max(max(heights) - min(heights), 1.0)
        axes.set_ylim(min(heights) - room, min(max(heights) + room, 101.0))
    lines, labels = grid[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper center", ncols=5, frameon=False, fontsize=9)
    figure.supxlabel("labels", fontsize=10, color=INK)
    # In one line it is longer than one row of panels is high.
    between = "\n" if rows == 1 else " "
    figure.supylabel(plain(f"{metric}, %{between}(shaded: 95 % interval)"), fontsize=10, color=INK)
    return figure


def _draw(axes: Axes, band: Band, name: str, color: str, *, is_baseline: bool) -> None:
    low, high = band.mean - band.half_width, band.mean + band.half_width
    axes.fill_between(band.labels, 100 * low, 100 * high, color=color, alpha=0.14, lw=0)
    style = (0, (4, 2)) if is_baseline else "-"
    axes.plot(band.labels, 100 * band.mean, color=color, lw=1.4, ls=style, label=name)


def _scale(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    clean(axes)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(labelsize=8)
