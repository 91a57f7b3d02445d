import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.norms import draw_norms, share_near_origin

pytest.importorskip("matplotlib")


@pytest.mark.parametrize(("fraction", "share"), [(0.05, 0.0), (0.1, 0.25), (0.5, 0.5), (1.0, 0.75)])
def test_near_the_origin_is_strictly_below_a_fraction_of_the_largest(
    fraction: float, share: float
) -> None:
    assert share_near_origin([0.5, 4.0, 5.0, 10.0], fraction) == share


@pytest.mark.parametrize("norms", [[], [0.0, 0.0]])
def test_without_positive_norms_the_share_is_zero(norms: list[float]) -> None:
    assert share_near_origin(norms, 0.1) == 0.0


def test_each_class_has_its_median_and_its_quantiles() -> None:
    norms = np.concatenate([np.arange(1.0, 12.0), np.arange(10.0, 111.0, 10.0)])
    labels = np.repeat([0, 2], 11)
    (axes,) = draw_norms(norms, labels, ["a", "b", "c"], unseen=[2]).axes
    drawn = [
        line.get_xdata().tolist() for line in axes.lines if hasattr(line.get_xdata(), "tolist")
    ]
    expected = [[2, 10], [3.5, 8.5], [6], [20, 100], [35, 85], [60]]
    for line, values in zip(drawn, expected, strict=False):
        assert line == pytest.approx(values)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c (unseen)"]
    # Below 11 are the norms 1 to 10 of the first class and 10 of the last: 11 of 22 rows.
    assert axes.texts[0].get_text().startswith("50% of all rows")


def test_a_norm_of_zero_can_be_drawn() -> None:
    (axes,) = draw_norms([0.0, 1.0], [0, 0], ["a"]).axes
    assert axes.get_xscale() == "log"


def test_invalid_norms_are_errors() -> None:
    with pytest.raises(BadgeError, match=r"got \[2\] and \[1\]"):
        draw_norms([1.0, 2.0], [0], ["a"])
    with pytest.raises(BadgeError, match="some above 0"):
        draw_norms([0.0], [0], ["a"])
