"""Comparison of contestants: learning curves with intervals, and the pairwise penalty matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.learning_curve import scale_labels, scale_values
from lightning_badge.viz.style import COLORS, FAINT, INK, MARKERS, clean, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_IN_ONE_PANEL = 4  # the intervals of more contestants would overlap too much
_FEW_POINTS = 12  # markers of more points would merge
_LEAST_GAP = 0.07  # between two names, as a share of the height of the axes
_OTHERS = "#BBBBBB"


@dataclass(frozen=True)
class Band:
    """A mean learning curve with its interval.

    Attributes:
        labels: Increasing numbers of labels ``[r]``.
        mean: Mean of the metric ``[r]``.
        half_width: Half width of its interval ``[r]``.
    """

    labels: npt.NDArray[np.int64] | npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]
    half_width: npt.NDArray[np.float64]


def draw_comparison(
    settings: Mapping[str, Mapping[str, Band]],
    *,
    metric: str = "accuracy",
    baseline: str | None = None,
) -> Figure:
    """Draws mean learning curves with their intervals.

    Up to four contestants share one panel per setting, with their names at the ends of their
    curves. With more contestants each has its own panel, with the other contestants in gray and
    the baseline dashed.

    Args:
        settings: Bands by setting and contestant.
        metric: Name of the metric.
        baseline: The contestant that the others should beat; None for none.

    Returns:
        A matplotlib ``Figure``, 8 inches wide, white background.

    Raises:
        BadgeError: There are no bands, or more contestants than colours.
    """
    names = list(dict.fromkeys(name for bands in settings.values() for name in bands))
    if not 1 <= len(names) <= len(COLORS):
        raise BadgeError(f"comparison: expected 1 to {len(COLORS)} contestants, got {len(names)}")
    together = len(names) <= _IN_ONE_PANEL
    panels = [(s, n) for s in settings for n in ([None] if together else list(settings[s]))]
    figure, grid = _grid(len(panels), wide=together)
    for axes, (setting, focus) in zip(grid, panels, strict=True):
        bands = settings[setting]
        parts = [setting] * (len(settings) > 1) + [focus] * (focus is not None)
        color = INK if focus is None else COLORS[names.index(focus)]
        axes.set_title(plain(": ".join(map(str, parts))), loc="left", fontsize=10, color=color)
        for name in bands if focus is None else [focus]:
            _draw_band(axes, bands[name], names.index(name))
        if focus is not None:
            _draw_others(axes, bands, focus, baseline)
    every = [band for bands in settings.values() for band in bands.values()]
    scale_labels(grid[0], [int(count) for band in every for count in band.labels])
    scale_values(grid[0], [float(value) for band in every for value in band.mean])
    if together:
        for axes, bands in zip(grid, settings.values(), strict=True):
            _name_at_the_end(axes, bands, names)
    dashed = "" if together or baseline not in names else f"; dashed: {baseline}"
    figure.supxlabel(plain(f"labels (shaded: 95 % interval{dashed})"), fontsize=12, color=INK)
    figure.supylabel(plain(metric), fontsize=12, color=INK)
    return figure


def draw_penalty_matrix(
    names: Sequence[str], penalty: npt.NDArray[np.float64], *, settings: int
) -> Figure:
    """Draws a pairwise penalty matrix with its column means below.

    Args:
        names: Names of the ``m`` contestants.
        penalty: ``[m, m]``: the number of settings in which the row beats the column.
        settings: The number of settings, which is the largest possible entry.

    Returns:
        A matplotlib ``Figure``, white background.
    """
    from matplotlib.figure import Figure

    size, names = len(names), [plain(name) for name in names]
    width, height = 2.6 + 0.68 * size, 2.1 + 0.5 * size
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    cells = np.vstack([penalty, penalty.mean(axis=0)])
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=settings, aspect="auto")
    for (row, column), value in np.ndenumerate(cells):
        axes.text(
            column,
            row,
            "·" if row == column else f"{value:.2f}",
            ha="center",
            va="center",
            color="white" if value > 0.6 * settings else INK,
            fontweight="bold" if row == size else "normal",
        )
    axes.axhline(size - 0.5, color="white", lw=5)
    axes.set_xticks(range(size), names, rotation=30, ha="left", rotation_mode="anchor")
    axes.set_yticks(range(size + 1), [*names, "mean"])
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=INK, labelsize=11)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(
        f"settings in which the row beats the column, of {settings};\n"
        "a low mean is good: seldom beaten",
        fontsize=11,
        color=INK,
    )
    return figure


def _grid(panels: int, *, wide: bool) -> tuple[Figure, list[Axes]]:
    """Returns a figure with the given number of panels and shared axes."""
    from matplotlib.figure import Figure

    columns = min(panels, 2 if wide else 4 if panels > 6 else 3)
    rows = -(-panels // columns)
    height = 4.5 if panels == 1 else 0.5 + (2.9 if wide else 2.1) * rows
    figure = Figure(figsize=(8, height), dpi=150, facecolor="white", layout="constrained")
    every = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for place in range(panels, len(every)):
        every[place].set_visible(False)
        every[place - columns].tick_params(labelbottom=True)
    for axes in every:
        clean(axes)
        axes.tick_params(labelsize=9 if panels > 1 else 12)
    return figure, list(every[:panels])


def _draw_band(axes: Axes, band: Band, place: int) -> None:
    few = len(band.labels) <= _FEW_POINTS
    low, high = band.mean - band.half_width, band.mean + band.half_width
    axes.fill_between(band.labels, low, high, color=COLORS[place], alpha=0.16, lw=0)
    axes.plot(
        band.labels,
        band.mean,
        color=COLORS[place],
        lw=2,
        ls=("-", "--", "-.", ":")[place % 4] if not few else "-",
        marker=MARKERS[place] if few else None,
        ms=6,
        mec="white",
        mew=0.6,
    )


def _draw_others(axes: Axes, bands: Mapping[str, Band], focus: str, baseline: str | None) -> None:
    for name, band in bands.items():
        is_baseline = name == baseline
        if name != focus:
            axes.plot(
                band.labels,
                band.mean,
                color=INK if is_baseline else _OTHERS,
                ls="--" if is_baseline else "-",
                lw=1.1 if is_baseline else 0.8,
                zorder=1.5,
            )


def _name_at_the_end(axes: Axes, bands: Mapping[str, Band], names: Sequence[str]) -> None:
    """Writes each name beside the end of its curve; moves names that would overlap."""
    low, high = axes.get_ylim()
    ends = sorted((float(band.mean[-1]), name) for name, band in bands.items())
    places = _spread([(value - low) / (high - low) for value, _ in ends])
    for (value, name), place in zip(ends, places, strict=True):
        axes.annotate(
            plain(name),
            (float(bands[name].labels[-1]), value),
            xytext=(1.06, place),
            textcoords="axes fraction",
            va="center",
            fontsize=10,
            color=COLORS[names.index(name)],
            arrowprops={"arrowstyle": "-", "color": FAINT, "lw": 0.8, "shrinkA": 1, "shrinkB": 4},
            annotation_clip=False,
        )


def _spread(places: Sequence[float]) -> list[float]:
    """Moves increasing positions down, as little as needed, until ``_LEAST_GAP`` apart."""
    moved = [min(float(place), 1.0) for place in places]
    for lower in range(len(moved) - 2, -1, -1):
        moved[lower] = min(moved[lower], moved[lower + 1] - _LEAST_GAP)
    return moved
