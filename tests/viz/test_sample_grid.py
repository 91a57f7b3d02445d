from typing import Any

import numpy as np
import pytest
import torch

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.sample_grid import draw_sample_grid, draw_sample_grids

pytest.importorskip("matplotlib")


def drawn(images: Any, **arguments: Any) -> list[Any]:
    """Returns the image in each cell of the grid, None for an empty cell."""
    figure = draw_sample_grid(images, **arguments)
    return [axes.images[0].get_array() if axes.images else None for axes in figure.axes]


def test_each_image_has_a_cell_and_the_last_row_may_have_empty_cells() -> None:
    images = np.linspace(0, 1, 5 * 4 * 3).reshape(5, 1, 4, 3)
    cells = drawn(images, columns=3)
    assert len(cells) == 6
    assert cells[5] is None
    for image, cell in zip(images, cells, strict=False):
        np.testing.assert_array_equal(cell, image[0])


@pytest.mark.parametrize(("k", "columns"), [(1, 1), (2, 2), (9, 3), (10, 4), (25, 5)])
def test_a_grid_is_about_square_by_default(k: int, columns: int) -> None:
    figure = draw_sample_grid(np.zeros((k, 1, 2, 2)))
    assert figure.axes[0].get_gridspec().ncols == columns


def test_uint8_images_and_tensors_are_drawn_like_floats() -> None:
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8).reshape(3, 1, 1, 1)
    as_floats, as_bytes = (drawn(each, columns=3) for each in (levels.float() / 255, levels))
    np.testing.assert_allclose(np.ma.stack(as_bytes), np.ma.stack(as_floats), rtol=1e-6)


def test_three_channels_are_drawn_in_colour() -> None:
    red = np.zeros((1, 3, 2, 2))
    red[:, 0] = 1
    (cell,) = drawn(red)
    assert cell.shape == (2, 2, 3)
    assert cell[0, 0].tolist() == [1, 0, 0]


def test_captions_are_in_the_order_of_the_images_with_one_title() -> None:
    figure = draw_sample_grid(np.zeros((2, 1, 2, 2)), ["first", "second"], title="picks")
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert texts == ["first", "second"]
    assert figure.get_suptitle() == "picks"


@pytest.mark.parametrize(
    ("images", "arguments", "message"),
    [
        (np.zeros((0, 1, 2, 2)), {}, r"expected images .* got \[0, 1, 2, 2\]"),
        (np.zeros((2, 2)), {}, r"got \[2, 2\]"),
        (np.zeros((1, 2, 4, 4)), {}, "1 or 3 channels"),
        (np.full((1, 1, 2, 2), 1.5), {}, "from 1.5 to 1.5; undo the normalization"),
        (np.full((1, 1, 2, 2), np.nan), {}, "floats in 0..1"),
        (np.zeros((2, 1, 2, 2)), {"captions": ["one"]}, "expected 2 captions, .* got 1"),
        (np.zeros((2, 1, 2, 2)), {"columns": 0}, "columns: expected 1 or more, got 0"),
    ],
)
def test_invalid_images_or_arguments_are_errors(
    images: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadgeError, match=message):
        draw_sample_grid(images, **arguments)


def test_grids_are_side_by_side_with_their_names() -> None:
    images = np.zeros((4, 1, 2, 2))
    figure = draw_sample_grids({"left": (images, list("abcd")), "right": (images[:1], None)})
    assert [part.get_suptitle() for part in figure.subfigs] == ["left", "right"]
    assert [len(part.axes) for part in figure.subfigs] == [4, 1]


def test_no_grids_are_an_error() -> None:
    with pytest.raises(BadgeError, match="expected at least one, got none"):
        draw_sample_grids({})
