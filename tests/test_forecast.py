import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from lightning_badge import forecast as module
from lightning_badge.accuracy_change import Interval
from lightning_badge.exceptions import BadgeError
from lightning_badge.forecast import MIN_ROUNDS, forecast

LABELS = [20, 50, 90, 150, 220]
ACCURACIES = [0.52, 0.66, 0.74, 0.79, 0.83]
CURVES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "power": lambda n, rng: rng.uniform(0.8, 1) - rng.uniform(1, 2) * n ** -rng.uniform(0.3, 0.8),
    "exponential": lambda n, rng: (
        rng.uniform(0.7, 0.98) - rng.uniform(0.2, 0.5) * np.exp(-n / rng.uniform(60, 400))
    ),
    "constant": lambda n, rng: np.full(len(n), rng.uniform(0.5, 0.97)),
}


def measured(accuracies: np.ndarray, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Returns what rounds measure on the same samples, half of whose difficulty is their own."""
    difficulty = rng.normal(size=samples) + rng.normal(size=(len(accuracies), samples))
    bounds = [NormalDist(0, math.sqrt(2)).inv_cdf(accuracy) for accuracy in accuracies]
    return (difficulty < np.array(bounds)[:, None]).mean(1)


def coverage(kind: str, samples: int, *, curves: int = 50) -> float:
    """Returns how often the interval holds what is measured with 100 labels more."""
    rng = np.random.default_rng(samples)
    held = []
    for _ in range(curves):
        rounds = int(rng.integers(MIN_ROUNDS, 13))
        added = np.exp(rng.uniform(np.log(10), np.log(100), rounds - 1))
        n = np.append(20, 20 + np.cumsum(added))
        points = np.append(n, n[-1] + 100)
        truth = np.clip(CURVES[kind](points, rng), 0.05, 0.99)
        truth = truth + rng.normal(size=len(points)) * np.sqrt(truth * (1 - truth) * 0.1 / points)
        y = measured(np.clip(truth, 0.02, 0.995), samples, rng)
        expected = forecast(n, y[:-1], samples)
        held.append(expected.low <= y[-1] <= expected.high)
    return float(np.mean(held))


def test_the_interval_holds_in_about_80_of_100_simulated_curves() -> None:
    held = {(kind, samples): coverage(kind, samples) for kind in CURVES for samples in (100, 1000)}
    assert 0.72 <= np.mean([*held.values()]) <= 0.88
    assert min(held.values()) >= 0.6, held


def test_an_interval_that_leaves_noise_out_holds_too_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("_OF_PART", 0.06), ("_OF_TRAINING", 0.02), ("_KNOWN", 100.0)):
        monkeypatch.setattr(module, name, value)
    assert np.mean([coverage(kind, 100) for kind in CURVES]) < 0.6


class TestForecast:
    def test_the_order_of_the_rounds_does_not_matter(self) -> None:
        expected = forecast(LABELS, ACCURACIES, 500)
        assert as_tuple(forecast(LABELS[::-1], ACCURACIES[::-1], [500] * 5)) == pytest.approx(
            as_tuple(expected), abs=1e-5
        )

    def test_it_lies_between_its_bounds_and_in_0_to_1(self) -> None:
        rng = np.random.default_rng(0)
        for _ in range(30):
            n = np.cumsum(rng.integers(1, 200, size=int(rng.integers(4, 12))))
            expected = forecast(n, rng.uniform(size=len(n)), int(rng.integers(1, 5000)))
            assert 0 <= expected.low <= expected.value <= expected.high <= 1

    def test_more_validation_samples_make_it_narrower_and_more_labels_ahead_wider(self) -> None:
        widths = [width(forecast(LABELS, ACCURACIES, m)) for m in (50, 500, 5000)]
        assert widths == sorted(widths, reverse=True)
        ahead = [forecast(LABELS, ACCURACIES, 500, ahead=a) for a in (10, 100, 1000)]
        assert width(ahead[0]) < width(ahead[1]) < width(ahead[2])
        assert ahead[0].value < ahead[1].value < ahead[2].value

    def test_a_flat_curve_promises_nothing_and_a_steep_one_much(self) -> None:
        flat = forecast([50, 150, 300, 500, 800], [0.9] * 5, 2000)
        assert flat.value == pytest.approx(0.9, abs=0.005)
        steep = forecast([50, 100, 150, 200], [0.2, 0.35, 0.48, 0.58], 2000)
        assert 0.65 < steep.value < 0.8

    @pytest.mark.parametrize("accuracy", [0.0, 1.0])
    def test_all_or_nothing_right_leaves_a_width(self, accuracy: float) -> None:
        assert width(forecast(LABELS, [accuracy] * 5, 100)) > 0.001

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([20, 50, 90, 90], [0.5] * 4, 10), "expected 4 or more different numbers of labels"),
            (([20, 50, 90], [0.5] * 4, 10), "expected as many accuracies"),
            ((LABELS, ACCURACIES, [10, 20]), "expected as many accuracies"),
            ((LABELS, [*ACCURACIES[:-1], 1.1], 10), r"accuracies in \[0, 1\]"),
            ((LABELS, [*ACCURACIES[:-1], math.nan], 10), r"accuracies in \[0, 1\]"),
            (([0, *LABELS[1:]], ACCURACIES, 10), "of 1 or more"),
            ((LABELS, ACCURACIES, 0), "of 1 or more"),
        ],
    )
    def test_values_out_of_range_are_refused(self, arguments: Any, message: str) -> None:
        with pytest.raises(BadgeError, match=message):
            forecast(*arguments)


def as_tuple(interval: Interval) -> tuple[float, float, float]:
    return interval.value, interval.low, interval.high


def width(interval: Interval) -> float:
    return interval.high - interval.low
