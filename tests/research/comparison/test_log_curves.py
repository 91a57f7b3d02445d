import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.log_curves import (
    LogCurve,
    areas,
    first_reached,
    on_grid,
)

CURVE = LogCurve(np.array([10, 20, 40, 160]), np.array([0.2, 0.5, 0.6, 0.9]))


def test_between_points_a_curve_is_linear_in_the_logarithm() -> None:
    assert CURVE.at([10, 20, 80]) == pytest.approx([0.2, 0.5, 0.75])


def test_an_area_is_the_integral_over_the_logarithm() -> None:
    fine = np.exp(np.linspace(np.log(15), np.log(100), 200_001))
    assert CURVE.area(15, 100) == pytest.approx(CURVE.at(fine).mean(), abs=1e-5)
    assert CURVE.area(10, 40) == pytest.approx((0.35 + 0.55) / 2)
    shorter = LogCurve(np.array([10, 160]), np.array([0.4, 0.4]))
    assert areas([CURVE, shorter], 10, 160)[1] == pytest.approx(0.4)
    assert on_grid([CURVE, shorter], [20]).tolist() == [[0.5], [pytest.approx(0.4)]]


def test_the_first_number_of_labels_that_reaches_a_value() -> None:
    grid, falls = CURVE.labels, np.array([0.6, 0.5, 0.7, 0.7])
    reached = first_reached(grid, [CURVE.values, falls, falls], [0.75, 0.6, 0.65])
    assert reached == pytest.approx([80, 10, 20 * 2**0.75])
    assert np.isnan(first_reached(grid, CURVE.values, 0.95))
    for target in (0.25, 0.55, 0.899):
        assert CURVE.at(first_reached(grid, CURVE.values, target)) == pytest.approx(target)


@pytest.mark.parametrize("labels", [[0, 5], [5], [5, 5], [5, 4]])
def test_numbers_of_labels_increase_from_above_0(labels: list[int]) -> None:
    with pytest.raises(BadgeError, match="increasing numbers of labels above 0"):
        LogCurve(np.array(labels), np.zeros(len(labels)))
