import io
import math

import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.viz.learning_curve import draw_learning_curve

pytest.importorskip("matplotlib")

CURVE = ([20, 40, 180], [0.5, 0.75, 0.925])


def test_a_curve_has_a_marker_for_each_round_and_shows_its_last_value() -> None:
    figure = draw_learning_curve({"badge": CURVE}, metric="accuracy", title="digits")
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_xydata().tolist() == [[20, 0.5], [40, 0.75], [180, 0.925]]
    assert line.get_marker() == "o"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("labels", "accuracy")
    assert axes.get_title(loc="left") == "digits"
    assert axes.get_title(loc="right") == "92.5% with 180 labels"


@pytest.mark.parametrize("first", [0.0, 0.5, 0.97, 1.0])
def test_a_marker_at_100_per_cent_is_whole_and_no_tick_is_above_it(first: float) -> None:
    figure = draw_learning_curve({"badge": ([20, 40], [first, 1.0])})
    figure.canvas.draw()
    (axes,) = figure.axes
    (line,) = axes.lines
    _, height = axes.transData.transform((40, 1.0))
    radius = line.get_markersize() / 2 * figure.dpi / 72
    assert height + radius <= axes.bbox.y1
    low, high = axes.get_ylim()
    assert max(tick for tick in axes.get_yticks() if low <= tick <= high) == pytest.approx(1.0)


def test_several_curves_differ_in_colour_and_marker_and_have_a_legend() -> None:
    figure = draw_learning_curve(dict.fromkeys(("badge", "random", "entropy"), CURVE))
    (axes,) = figure.axes
    assert len({(line.get_color(), line.get_marker()) for line in axes.lines}) == 3
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        *("badge", "random", "entropy")
    ]


@pytest.mark.parametrize(("last", "scale"), [(200, "linear"), (201, "log")])
def test_labels_over_more_than_a_factor_of_ten_are_drawn_on_a_logarithmic_axis(
    last: int, scale: str
) -> None:
    figure = draw_learning_curve({"badge": ([20, last], [0.1, 0.2])})
    assert figure.axes[0].get_xscale() == scale


def test_a_metric_outside_of_0_to_1_is_not_shown_in_per_cent() -> None:
    figure = draw_learning_curve({"badge": ([1, 2], [3.5, 2.25])}, metric="loss")
    assert figure.axes[0].get_title(loc="right") == "2.25 with 2 labels"


@pytest.mark.parametrize("values", [[0.3], [math.nan]])
def test_a_single_round_can_be_drawn(values: list[float]) -> None:
    png = io.BytesIO()
    draw_learning_curve({"badge": ([20], values)}).savefig(png, format="png")
    assert png.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "curves", [{}, {"badge": ([], [])}, {"badge": ([1, 2], [0.5])}, {"badge": ([0], [0.5])}]
)
def test_an_invalid_curve_is_an_error(curves: dict[str, tuple[list[int], list[float]]]) -> None:
    with pytest.raises(BadgeError, match="expected"):
        draw_learning_curve(curves)
