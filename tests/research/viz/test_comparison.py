import io
import math
from itertools import pairwise

import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.comparison import Band, draw_comparison, draw_penalty_matrix
from lightning_badge.viz.style import COLORS, MARKERS

Text = pytest.importorskip("matplotlib.text").Text

EIGHT = [f"strategy_{place}" for place in range(8)]


def bands(names: list[str], rounds: int = 4) -> dict[str, Band]:
    labels = 10 * 2 ** np.arange(rounds)
    return {
        name: Band(labels, np.linspace(0.5, 0.8 + place / 100, rounds), np.full(rounds, 0.05))
        for place, name in enumerate(names)
    }


def test_few_contestants_share_a_panel_and_their_names_do_not_overlap() -> None:
    figure = draw_comparison({"fixed": bands(EIGHT[:4])})
    (axes,) = figure.axes
    assert len(axes.lines) == len(axes.collections) == 4
    assert axes.lines[0].get_xydata()[-1].tolist() == [80, 0.8]
    outline = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (outline.min(), outline.max()) == (pytest.approx(0.45), pytest.approx(0.85))
    figure.draw_without_rendering()
    assert [text.get_text() for text in axes.texts] == EIGHT[:4]
    # The extent as Text, because the extent of an annotation includes its arrow.
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert all(below.y1 < above.y0 for below, above in pairwise(boxes))


def test_each_setting_has_a_panel_and_contestants_look_the_same_in_all() -> None:
    figure = draw_comparison(
        {"a": bands(EIGHT[:2]), "b": bands(EIGHT[1::-1]), "c": bands(EIGHT[:2])}
    )
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["a", "b", "c"]
    looks = [{line.get_color(): line.get_marker() for line in axes.lines} for axes in shown]
    assert looks[0] == looks[1] == looks[2] == {COLORS[0]: MARKERS[0], COLORS[1]: MARKERS[1]}


def test_many_contestants_have_panels_of_their_own_with_the_others_in_gray() -> None:
    figure = draw_comparison({"fixed": bands(EIGHT)}, baseline="strategy_7")
    assert [axes.get_title(loc="left") for axes in figure.axes] == EIGHT
    looks = set()
    for place, axes in enumerate(figure.axes):
        own, *others = axes.lines
        looks.add((own.get_color(), own.get_marker()))
        assert len(axes.collections) == 1
        assert len(others) == 7
        assert [line.get_linestyle() for line in others].count("--") == (place != 7)
    assert len(looks) == 8
    assert "dashed: strategy_7" in figure.get_supxlabel()


def test_curves_with_many_points_differ_by_line_style_not_marker() -> None:
    (axes,) = draw_comparison({"variable": bands(EIGHT[:4], rounds=13)}).axes
    assert {line.get_marker() for line in axes.lines} == {"None"}
    assert len({line.get_linestyle() for line in axes.lines}) == 4


def test_a_nan_metric_is_drawn_as_a_gap() -> None:
    band = Band(np.array([1, 2]), np.array([math.nan, 0.5]), np.array([math.nan, 0.1]))
    png = io.BytesIO()
    draw_comparison({"fixed": {"badge": band}}).savefig(png, format="png")
    assert png.getvalue().startswith(b"\x89PNG")


@pytest.mark.parametrize("names", [[], [*EIGHT, "one_more"]])
def test_no_contestants_or_too_many_are_errors(names: list[str]) -> None:
    with pytest.raises(BadgeError, match=f"expected 1 to 8 contestants, got {len(names)}"):
        draw_comparison({"fixed": bands(names)})


def test_the_penalty_matrix_shows_its_entries_and_column_means() -> None:
    figure = draw_penalty_matrix(["a", "b"], np.array([[0.0, 0.5], [2.0, 0.0]]), settings=2)
    (axes,) = figure.axes
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (0, 0): "·",
        (1, 0): "0.50",
        (0, 1): "2.00",
        (1, 1): "·",
        (0, 2): "1.00",
        (1, 2): "0.25",
    }
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b", "mean"]
