"""Grids of images, such as the first picks of an ordering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.style import INK

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
        captions: One for each image; none where None.
        title: Heading; none where None.
        columns: Images in a row; None makes the grid about square.

    Returns:
        A matplotlib ``Figure`` on white, 1.3 inches and 150 dpi for each image.

    Raises:
        BadgeError: No image, another shape, values out of range, or unequal numbers of captions.

    Example:
        >>> figure = draw_sample_grid(np.zeros((2, 1, 8, 8)), ["rank 1", "rank 2"])
    """
    from matplotlib.figure import Figure

    pictures = _as_pictures(images)
    columns = _columns(len(pictures), columns)
    rows = math.ceil(len(pictures) / columns)
    lines = max((caption.count("\n") + 1 for caption in captions or ()), default=0)
    height = rows * (_CELL_INCHES + lines * _LINE_INCHES) + (0.4 if title else 0.0)
    size = (max(columns, 2) * _CELL_INCHES, height)
    figure = Figure(figsize=size, dpi=150, facecolor="white", layout="constrained")
    fill_sample_grid(figure, images, captions, title=title, columns=columns)
    return figure


def fill_sample_grid(
    figure: FigureBase,
    images: Any,
    captions: Sequence[str] | None = None,
    *,
    title: str | None = None,
    columns: int | None = None,
) -> None:
    """Draws the grid of `draw_sample_grid` into a figure or a part of one."""
    pictures = _as_pictures(images)
    if captions is not None and len(captions) != len(pictures):
        raise BadgeError(
            f"sample grid: expected {len(pictures)} captions, one an image, got {len(captions)}"
        )
    columns = _columns(len(pictures), columns)
    rows = math.ceil(len(pictures) / columns)
    cells = figure.subplots(rows, columns, squeeze=False).flat
    for rank, axes in enumerate(cells):
        axes.set_axis_off()
        if rank < len(pictures):
            axes.imshow(pictures[rank], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            if captions is not None:
                # Below the image, where a title would be read as that of the row before.
                axes.text(
                    *(0.5, -0.05, captions[rank]),
                    transform=axes.transAxes,
                    ha="center",
                    va="top",
                    fontsize=10,
                    color=INK,
                )
    if title:
        figure.suptitle(title, fontsize=12, color=INK)


def _as_pictures(images: Any) -> npt.NDArray[Any]:
    """Returns images ``[k, height, width]`` or ``[k, height, width, 3]`` in 0..1."""
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


def _columns(k: int, columns: int | None) -> int:
    if columns is not None and columns < 1:
        raise BadgeError(f"sample grid: columns: expected 1 or more, got {columns}")
    return min(k, math.ceil(math.sqrt(k)) if columns is None else columns)
