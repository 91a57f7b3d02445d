import numpy as np
import pytest

pytest.importorskip("matplotlib")

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.comparison import Band
from lightning_badge.research.viz.small_multiples import draw_small_multiples


def band(height: float) -> Band:
    return Band(np.array([20, 40, 80]), height + np.array([0.0, 0.1, 0.2]), np.full(3, 0.5))


def test_a_panel_for_each_data_set_with_its_own_scale() -> None:
    panels = {name: {"random": band(0.3), "badge": band(0.4)} for name in "abcde"}
    figure = draw_small_multiples(panels, metric="accuracy", baseline="random")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == list("abcde")
    low, high = shown[0].get_ylim()  # the intervals do not set the scale
    assert 20 < low < 30
    assert 60 < high < 70
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random", "badge"]
    styles = [line.get_linestyle() for line in shown[0].get_lines()]
    assert styles == ["--", "-"]


@pytest.mark.parametrize("panels", [1, 2, 5])
def test_the_label_of_the_scale_and_the_legend_do_not_overlap(panels: int) -> None:
    names = ["random", "badge", "uherding", "coreset", "badge_labeled"]
    bands = {name: band(0.3) for name in names}
    figure = draw_small_multiples(
        dict.fromkeys("abcde"[:panels], bands), metric="accuracy", baseline="random"
    )
    figure.draw_without_rendering()
    (label,) = (text for text in figure.texts if text.get_rotation() == 90)
    assert label.get_text().startswith("accuracy, %")
    assert not label.get_window_extent().overlaps(figure.legends[0].get_window_extent())


def test_more_contestants_than_colours_are_refused() -> None:
    many = {"a": {str(number): band(0.3) for number in range(10)}}
    with pytest.raises(BadgeError, match="1 to 8 contestants beside random, got 1 panels with 10"):
        draw_small_multiples(many, metric="accuracy", baseline="random")
