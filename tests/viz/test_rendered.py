import numpy as np
import pytest

from lightning_badge.viz.rendered import rendered

figures = pytest.importorskip("matplotlib.figure")


def test_a_figure_is_rendered_to_pixels() -> None:
    figure = figures.Figure(figsize=(2, 1), dpi=50, facecolor="white")
    axes = figure.add_axes((0, 0, 0.5, 1))
    axes.set_axis_off()
    axes.imshow(np.full((2, 2, 3), (255, 0, 51), dtype=np.uint8), aspect="auto")
    pixels = rendered(figure)
    assert pixels.shape == (50, 100, 3)
    assert pixels.dtype == np.uint8
    assert pixels[25, 25].tolist() == [255, 0, 51]
    assert pixels[25, 75].tolist() == [255, 255, 255]
