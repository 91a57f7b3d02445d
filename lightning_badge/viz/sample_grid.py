"""Grids of images, such as the first picks of an ordering."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import INK, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

_CELL_INCHES = 1.3
_LINE_INCHES = 0.2


def draw_sample_grid(
    images: Any,
    captions: Sequence[str] | None = None,
    *,
    title: str | None = None,
    columns: int | None = None,
) -> Figure:
    """Draws images row by row, each with its caption below.

    Args:
        images: ``[k, channels, height, width]``, an array or a CPU tensor: floats in 0..1 or
            uint8; one channel is drawn in gray, three as RGB.
        captions: One for each image; none if None.
        title: Heading; none if None.
        columns: Images in a row; None makes the grid about square.

    Returns:
        A matplotlib ``Figure``, white background, 1.3 inches per image at 150 dpi.

    Raises:
        BadgeError: There are no images, their shape or values are invalid, or the number of
            captions differs from the number of images.

    Example:
        >>> figure = draw_sample_grid(np.zeros((2, 1, 8, 8)), ["rank 1", "rank 2"])
    """
    from matplotlib.figure import Figure

    pictures = as_pictures(images)
    columns = _columns(len(pictures), columns)
    rows = math.ceil(len(pictures) / columns)
    height = rows * (_CELL_INCHES + _caption_inches(captions)) + (0.4 if title else 0.0)
    size = (max(columns, 2) * _CELL_INCHES, height)
    figure = Figure(figsize=size, dpi=150, facecolor="white", layout="constrained")
    fill_sample_grid(figure, images, captions, title=title, columns=columns)
    return figure


def draw_sample_grids(
    grids: Mapping[str, tuple[Any, Sequence[str] | None]], *, columns: int | None = None
) -> Figure:
    """Draws several grids side by side, each below its name.

    Args:
        grids: Images and captions by name, as in `draw_sample_grid`.
        columns: Images in a row of each grid; None makes each about square.

    Returns:
        A matplotlib ``Figure``, 8 inches wide, white background.

    Raises:
        BadgeError: There are no grids, or one is invalid as in `draw_sample_grid`.
    """
    from matplotlib.figure import Figure

    if not grids:
        raise BadgeError("sample grids: expected at least one, got none")
    counts = [len(as_pictures(images)) for images, _ in grids.values()]
    wide = [_columns(count, columns) for count in counts]
    rows = max(math.ceil(count / across) for count, across in zip(counts, wide, strict=True))
    below = max(_caption_inches(captions) for _, captions in grids.values())
    height = rows * (8 / sum(wide) + below) + 0.4
    figure = Figure(figsize=(8, height), dpi=150, facecolor="white", layout="constrained")
    parts = figure.subfigures(1, len(grids), squeeze=False, width_ratios=wide, wspace=0.05)[0]
    for part, (name, (images, captions)) in zip(parts, grids.items(), strict=True):
        fill_sample_grid(part, images, captions, title=name, columns=columns)
    return figure


def fill_sample_grid(
    figure: FigureBase,
    images: Any,
    captions: Sequence[str] | None = None,
    *,
    title: str | None = None,
    columns: int | None = None,
) -> None:
    """Draws the grid of `draw_sample_grid` into a figure or subfigure."""
    pictures = as_pictures(images)
    if captions is not None and len(captions) != len(pictures):
        raise BadgeError(
            f"sample grid: expected {len(pictures)} captions, one per image, got {len(captions)}"
        )
    columns = _columns(len(pictures), columns)
    rows = math.ceil(len(pictures) / columns)
    cells = figure.subplots(rows, columns, squeeze=False).flat
    for rank, axes in enumerate(cells):
        axes.set_axis_off()
        if rank < len(pictures):
            axes.imshow(pictures[rank], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if captions is not None:
                # Below the image: a title above it would seem to belong to the previous row.
                axes.text(
                    *(0.5, -0.05, plain(captions[rank])),
                    transform=axes.transAxes,
                    ha="center",
                    va="top",
                    fontsize=10,
                    color=INK,
                )
    if title:
        figure.suptitle(plain(title), fontsize=12, color=INK)


def as_pictures(images: Any) -> npt.NDArray[Any]:
    """Converts images to ``[k, height, width]`` or ``[k, height, width, 3]`` in 0..1."""
    array = np.asarray(images)
    if array.ndim != 4 or not array.size or array.shape[1] not in (1, 3):
        raise BadgeError(
            "sample grid: expected images [k, channels, height, width] with 1 or 3 channels, got "
            f"{list(array.shape)}"
        )
    array = array / 255 if array.dtype == np.uint8 else array.astype(np.float64)
    if not (array.min() >= 0.0 and array.max() <= 1.0):
        raise BadgeError(
            "sample grid: expected uint8 images or floats in 0..1, got values from "
            f"{array.min():.3g} to {array.max():.3g}; undo the normalization first"
        )
    return array[:, 0] if array.shape[1] == 1 else array.transpose(0, 2, 3, 1)


def _caption_inches(captions: Sequence[str] | None) -> float:
    lines = max((caption.count("\n") + 1 for caption in captions or ()), default=0)
    return lines * _LINE_INCHES


def _columns(k: int, columns: int | None) -> int:
    if columns is not None and columns < 1:
        raise BadgeError(f"sample grid: columns: expected 1 or more, got {columns}")
    return min(k, math.ceil(math.sqrt(k)) if columns is None else columns)
