import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError

pytest.importorskip("matplotlib")

from lightning_badge.research.viz.log_determinant import draw_log_determinant


def test_lines_show_the_gap_to_the_reference_per_pick() -> None:
    values = {"k-DPP": np.array([[4.0, 6.0], [6.0, 10.0]]), "random": np.array([[3.0, 2.0]] * 2)}
    axes = draw_log_determinant([2, 4], values, reference="k-DPP").axes[0]
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    np.testing.assert_allclose(lines["k-DPP"], [0.0, 0.0])
    np.testing.assert_allclose(lines["random"], [-1.0, -1.5])


def test_dependent_picks_are_not_drawn() -> None:
    values = {"k-DPP": np.zeros((2, 2)), "entropy": np.array([[-1.0, -np.inf], [-3.0, -5.0]])}
    axes = draw_log_determinant([1, 2], values, reference="k-DPP").axes[0]
    lines = {line.get_label(): line.get_xdata() for line in axes.get_lines()}
    assert lines["entropy"].tolist() == [1]


def test_an_unknown_reference_or_a_wrong_shape_is_an_error() -> None:
    with pytest.raises(BadgeError, match="one of random, got 'k-DPP'"):
        draw_log_determinant([1], {"random": np.zeros((2, 1))}, reference="k-DPP")
    with pytest.raises(BadgeError, match=r"'random': expected log-determinants \[seeds, 2\]"):
        draw_log_determinant([1, 2], {"random": np.zeros((2, 1))}, reference="random")
