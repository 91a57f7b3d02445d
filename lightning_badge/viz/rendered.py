"""Figures as pixels, for loggers that accept images but no figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rendered(figure: Figure) -> npt.NDArray[np.uint8]:
    """Renders a figure to RGB pixels, uint8 ``[height, width, 3]``.

    Needs no display and no global state of matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    pixels: npt.NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
    return pixels
