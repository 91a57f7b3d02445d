import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.savings import labels_saved, mean_saved

GRID = np.array([10.0, 20, 40, 80, 160])
RISE = np.array([0.5, 0.6, 0.7, 0.8, 0.9])


def noise(seeds: int = 20) -> np.ndarray:
    return np.random.default_rng(0).normal(scale=0.01, size=(seeds, 5))


def test_a_curve_that_is_one_doubling_ahead_saves_half_of_the_labels() -> None:
    saved = labels_saved(RISE + 0.1 + noise(), RISE + noise(), GRID, 160)
    assert saved.share == pytest.approx(0.5, abs=0.02)
    assert saved.needed == pytest.approx(80, abs=3)
    low, high = saved.interval()
    assert low < 0.5 < high < low + 0.1


def test_a_budget_inside_the_curves_uses_no_later_labels() -> None:
    ours = np.tile([0.5, 0.6, 0.69, 0.9, 0.9], (3, 1))
    assert labels_saved(ours, np.tile(RISE, (3, 1)), GRID, 40).share == 0
    assert labels_saved(ours, np.tile(RISE, (3, 1)), GRID, 80).share == pytest.approx(
        0.281, abs=1e-3
    )


def test_a_curve_that_stays_below_saves_nothing() -> None:
    saved = labels_saved(RISE - 0.1 + noise(), RISE + noise(), GRID, 160)
    assert (saved.share, *saved.interval()) == (0, 0, 0)
    assert np.isnan(saved.needed)


def test_seeds_are_drawn_together_so_that_their_luck_cancels() -> None:
    luck = np.random.default_rng(1).normal(scale=0.2, size=(20, 1))
    saved = labels_saved(RISE + 0.1 + luck, RISE + luck, GRID, 160)
    assert saved.interval() == (pytest.approx(0.5), pytest.approx(0.5))


def test_the_interval_contains_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(100):
        ours, theirs = rng.normal(scale=0.05, size=(2, 20, 5))
        saved = labels_saved(RISE + 0.1 + ours, RISE + theirs, GRID, 160)
        low, high = saved.interval()
        inside += low <= 0.5 <= high
    assert 85 <= inside <= 100


def test_a_budget_between_the_sizes_is_refused() -> None:
    with pytest.raises(BadgeError, match="budget: expected one of the 5 numbers of labels"):
        labels_saved(noise(), noise(), GRID, 100)


def test_a_mean_over_data_sets_has_a_narrower_interval() -> None:
    parts = [
        labels_saved(RISE + 0.1 + 5 * noise() * sign, RISE - noise(), GRID, 160, seed=seed)
        for seed, sign in enumerate((1, -1, 1, -1))
    ]
    mean = mean_saved(parts)
    assert mean.share == pytest.approx(np.mean([part.share for part in parts]))
    widths = [np.ptp(part.interval()) for part in parts]
    assert np.ptp(mean.interval()) < 0.7 * min(widths)
