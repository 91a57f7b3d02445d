import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import Ordering
from lightning_badge.research.viz.gains import draw_gains

pytest.importorskip("matplotlib")


def ordering_of(*gains: float) -> Ordering:
    return Ordering(np.arange(len(gains)), gains=np.array(gains))


def test_gains_are_drawn_over_ranks_from_1_and_a_zero_tail_is_annotated() -> None:
    (axes,) = draw_gains(ordering_of(np.nan, 4.0, 2.0, 0.0, 0.0)).axes
    assert axes.lines[0].get_xydata().tolist() == [[2, 4.0], [3, 2.0]]
    assert [text.get_text() for text in axes.texts] == ["0 from rank 4 on"]


def test_the_line_is_the_median_of_neighbouring_ranks() -> None:
    # With eight bins per decade, ranks 75 to 99 are one bin.
    gains = np.full(99, 5.0)
    gains[74:] = np.random.default_rng(0).random(25) + 1.0
    (axes,) = draw_gains(ordering_of(*gains)).axes
    assert axes.lines[1].get_ydata()[-1] == np.median(gains[74:])


@pytest.mark.parametrize("ordering", [Ordering(np.arange(2)), ordering_of(np.nan, 0.0)])
def test_an_ordering_without_gains_is_an_error(ordering: Ordering) -> None:
    with pytest.raises(BadgeError, match="with gains above 0, got none"):
        draw_gains(ordering)
