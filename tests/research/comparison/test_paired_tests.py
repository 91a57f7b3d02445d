import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.paired_tests import (
    holm,
    paired_p_values,
    significant_wins,
    wins_at,
)
from lightning_badge.research.comparison.statistics import beats

stats = pytest.importorskip("scipy.stats")


def tables(number: int, contestants: int = 6, seeds: int = 20, sizes: int = 4) -> np.ndarray:
    """Returns tables without effect: contestants of one seed share its luck, sizes resemble."""
    rng = np.random.default_rng(0)
    luck = rng.normal(size=(number, 1, seeds, 1))
    own = rng.normal(size=(number, contestants, seeds, 1))
    return 0.8 + 0.02 * (luck + own + rng.normal(size=(number, contestants, seeds, sizes)))


def test_p_values_are_those_of_scipy() -> None:
    values = tables(1)[0]
    mean, p = paired_p_values(values)
    for row in range(6):
        for column in range(6):
            if row != column:
                expected = stats.ttest_rel(values[row], values[column])
                assert p[row, column] == pytest.approx(expected.pvalue, rel=1e-9)
                assert mean[row, column] == pytest.approx((values[row] - values[column]).mean(0))


def test_equal_differences_need_no_deviation() -> None:
    base = np.random.default_rng(1).normal(size=(5, 1))
    mean, p = paired_p_values(np.stack([base, base, base + 0.25]))
    assert p[0, 1] == 1
    assert p[2, 0] < 1e-12
    assert mean[2, 0] == pytest.approx(0.25)


def test_holm_is_that_of_its_definition_and_bounded_by_bonferroni() -> None:
    p = np.random.default_rng(2).random(50) ** 3
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.2):
        rejected = set()  # step down: stop at the first that is not significant
        for step, place in enumerate(np.argsort(p)):
            if p[place] >= level / (50 - step):
                break
            rejected.add(place)
        assert rejected == set(np.flatnonzero(adjusted < level))
    assert (adjusted <= np.minimum(1, 50 * p)).all()
    assert (adjusted >= p).all()


def test_no_effect_gives_a_false_alarm_in_at_most_7_percent_of_1000_tables() -> None:
    alarms = [significant_wins(values).any() for values in tables(1000)]
    assert 0.005 < np.mean(alarms) <= 0.07


def test_without_the_correction_there_would_be_many_more() -> None:
    alarms = [wins_at(values).any() for values in tables(100)]
    assert np.mean(alarms) > 0.5


def test_a_large_effect_is_found_in_its_direction_only() -> None:
    values = tables(1)[0]
    values[3] += 0.2
    wins = significant_wins(values)
    others = [0, 1, 2, 4, 5]
    assert wins[3, others].all()
    assert not wins[others].any()


def test_one_seed_is_refused() -> None:
    with pytest.raises(BadgeError, match="expected at least 2 for a test, got 1"):
        paired_p_values(np.zeros((2, 1, 3)))


def test_single_tests_are_those_of_the_penalty_matrix() -> None:
    values = tables(1)[0]
    wins = wins_at(values)
    for row in range(6):
        for column in range(6):
            expected = beats(values[row], values[column], 0.95)
            assert (wins[row, column] == expected).all()
