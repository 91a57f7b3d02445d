from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lightning_badge.app.handover.chart import HEIGHT, WIDTH, draw_chart, ticks

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(NUMBERS, NUMBERS)
def test_ticks_include_the_range_and_are_few_and_equidistant(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assume(high - low > 1e-6 * max(abs(low), abs(high), 1e-3))
    places = ticks(low, high)
    step = places[1] - places[0]
    assert places[0] <= low + 1e-6 * step
    assert places[-1] >= high - 1e-6 * step
    assert 2 <= len(places) <= 8
    assert [y - x for x, y in pairwise(places)] == pytest.approx([step] * (len(places) - 1))


@given(
    st.lists(
        st.tuples(st.integers(1, 10**6), st.floats(0, 1)), min_size=1, max_size=20, unique=True
    )
)
def test_points_lie_in_the_picture_and_keep_their_order(points: list[tuple[int, float]]) -> None:
    chart = draw_chart(points)
    for (x, y), (labels, value) in zip(chart.points, points, strict=True):
        assert chart.left <= x <= WIDTH
        assert 0 <= y <= HEIGHT
        for (other_x, other_y), (other_labels, other_value) in zip(
            chart.points, points, strict=True
        ):
            assert (labels >= other_labels) or x <= other_x
            assert (value >= other_value) or y >= other_y


def test_a_share_has_no_axis_beyond_one() -> None:
    assert draw_chart([(10, 1.0), (20, 1.0)]).y_ticks[-1].text == "1"


def test_one_point_has_axes() -> None:
    chart = draw_chart([(10, 0.5)])
    assert len(chart.points) == 1
    assert len(chart.x_ticks) > 1
