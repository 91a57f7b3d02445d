import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from lightning_badge import accuracy_change as module
from lightning_badge.accuracy_change import Interval, change, paired_change
from lightning_badge.exceptions import BadgeError


class TestChange:
    # Newcombe 1998, table II, method 10: intervals at 95 %.
    @pytest.mark.parametrize(
        ("after", "n_after", "before", "n_before", "low", "high"),
        [
            (56, 70, 48, 80, 0.0524, 0.3339),
            (9, 10, 3, 10, 0.1705, 0.8090),
            (10, 10, 0, 10, 0.6075, 1.0),
        ],
    )
    def test_it_is_the_published_interval(
        self,
        monkeypatch: pytest.MonkeyPatch,
        *,
        after: int,
        n_after: int,
        before: int,
        n_before: int,
        low: float,
        high: float,
    ) -> None:
        monkeypatch.setattr(module, "LEVEL", 0.95)
        brought = change(before / n_before, after / n_after, n_after, n_before)
        assert (brought.low, brought.high) == pytest.approx((low, high), abs=6e-5)

    def test_what_two_rounds_swap_changes_its_sign(self) -> None:
        up, down = change(0.6, 0.7, 100), change(0.7, 0.6, 100)
        assert (up.value, up.low, up.high) == pytest.approx((-down.value, -down.high, -down.low))

    @pytest.mark.parametrize("arguments", [(0.5, 1.5, 10), (0.5, 0.5, 0), (math.nan, 0.5, 10)])
    def test_values_out_of_range_are_refused(self, arguments: Any) -> None:
        with pytest.raises(BadgeError, match="expected an accuracy"):
            change(*arguments)


class TestPairedChange:
    def test_without_correlation_it_is_that_of_independent_rounds(self) -> None:
        before, after = [1, 1, 0, 0] * 25, [1, 0, 1, 0] * 25
        assert as_tuple(paired_change(before, after)) == pytest.approx(
            as_tuple(change(0.5, 0.5, 100))
        )

    def test_the_more_errors_are_common_the_narrower_it_is(self) -> None:
        before = np.arange(200) < 120
        widths = [width(paired_change(before, np.roll(before, shift))) for shift in (0, 10, 40)]
        assert widths[0] < widths[1] < widths[2] < width(change(0.6, 0.6, 200))

    def test_it_holds_the_true_difference_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(0)
        held = []
        for _ in range(1500):
            # Thresholds of 0.6 and 0.7 on what is common to both rounds and what is not.
            common = rng.normal(size=150)
            own = rng.normal(size=(2, 150)) * 0.7
            bounds = [NormalDist(0, math.hypot(1, 0.7)).inv_cdf(p) for p in (0.6, 0.7)]
            brought = paired_change(*(common + own < np.array(bounds)[:, None]))
            held.append(brought.low <= 0.1 <= brought.high)
        assert 0.77 <= np.mean(held) <= 0.85

    @pytest.mark.parametrize("arguments", [([1, 0], [1]), ([], []), ([[1]], [[1]])])
    def test_other_samples_are_refused(self, arguments: Any) -> None:
        with pytest.raises(BadgeError, match="the same validation samples"):
            paired_change(*arguments)


def as_tuple(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def width(interval: Interval) -> float:
    return interval.high - interval.low
