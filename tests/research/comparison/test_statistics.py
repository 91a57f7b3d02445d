import math

import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.statistics import beats, mean_interval, t_quantile

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("seeds", [2, 5, 12])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95])
def test_beats_equals_scipys_paired_t_test(seeds: int, confidence: float) -> None:
    rng = np.random.default_rng(seeds)
    shared = rng.normal(size=(seeds, 1))  # an effect of the seed on both contestants
    ours = shared + rng.normal(0.3, 1, (seeds, 200))
    theirs = shared + rng.normal(0.0, 1, (seeds, 200))
    p = stats.ttest_rel(ours, theirs).pvalue
    better = ours.mean(axis=0) > theirs.mean(axis=0)
    assert beats(ours, theirs, confidence).tolist() == ((p < 1 - confidence) & better).tolist()
    assert beats(theirs, ours, confidence).tolist() == ((p < 1 - confidence) & ~better).tolist()
    assert 0 < beats(ours, theirs, confidence).sum() < 200


def test_five_seeds_have_the_quantile_of_the_paper() -> None:
    assert t_quantile(5, 0.95) == pytest.approx(2.776, abs=5e-4)


def test_with_equal_differences_the_sign_decides() -> None:
    ours = np.array([[0.5, 0.75], [0.25, 0.5]])
    assert beats(ours, ours - 0.125, 0.99).tolist() == [True, True]
    assert beats(ours - 0.125, ours, 0.99).tolist() == [False, False]
    assert beats(ours, ours, 0.01).tolist() == [False, False]


def test_the_interval_equals_scipys() -> None:
    values = np.random.default_rng(0).normal(size=(6, 3))
    mean, half_width = mean_interval(values, 0.8)
    low, high = stats.t.interval(0.8, 5, values.mean(axis=0), stats.sem(values))
    assert np.allclose(mean - half_width, low)
    assert np.allclose(mean + half_width, high)


def test_the_interval_contains_the_true_mean_with_the_stated_probability() -> None:
    repeats = 20_000
    values = np.random.default_rng(1).normal(3.0, 2.0, size=(4, repeats))
    mean, half_width = mean_interval(values)
    held = np.mean(np.abs(mean - 3.0) <= half_width)
    assert held == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / repeats))


@pytest.mark.parametrize("values", [[], [0.5]])
def test_fewer_than_two_seeds_are_an_error(values: list[float]) -> None:
    with pytest.raises(BadgeError, match=f"expected at least 2 .*, got {len(values)}"):
        mean_interval(values)
    with pytest.raises(BadgeError, match="expected at least 2"):
        beats(values, values, 0.9)


@pytest.mark.parametrize("confidence", [0, 1, 95, float("nan")])
def test_a_confidence_outside_its_range_is_an_error(confidence: float) -> None:
    with pytest.raises(BadgeError, match="confidence: expected a number between 0 and 1, got"):
        mean_interval([0.5, 0.6], confidence)
