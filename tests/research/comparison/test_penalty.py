import numpy as np
import pytest

from lightning_badge.exceptions import BadgeError
from lightning_badge.research.comparison.penalty import label_sizes, penalty_matrix
from lightning_badge.research.comparison.setting import Setting

stats = pytest.importorskip("scipy.stats")

LABELS = [10, 20, 30, 50, 90]


def setting(values: dict[str, np.ndarray], labels: list[int] = LABELS) -> Setting:
    """Builds a setting from arrays ``[seeds, rounds]``."""
    seeds = len(next(iter(values.values())))
    curves = {name: [(labels, row.tolist()) for row in rows] for name, rows in values.items()}
    return Setting("fixed", tuple(range(seeds)), curves)


def flat(labels: list[int], seeds: int = 2) -> dict[str, np.ndarray]:
    return {"random": np.zeros((seeds, len(labels)))}


@pytest.mark.parametrize(
    ("labels", "sizes"),
    [
        ([10, 20, 30, 40, 50, 60], [20, 30, 50]),  # 10 + 10 x 1, 2, 4; x 8 is beyond the last
        ([100, 150, 500], [150, 200, 300, 500]),  # 100 + 50 x 1, 2, 4, 8
        ([20, 25, 44], [25, 30, 40]),  # the smallest query is 5; 20 + 5 x 8 is beyond the last
        ([7, 8], [8]),
    ],
)
def test_numbers_of_labels_double(labels: list[int], sizes: list[int]) -> None:
    assert label_sizes(setting(flat(labels), labels)).tolist() == sizes


@pytest.mark.parametrize(
    ("means", "sizes"),
    [
        ([0.1, 0.5, 0.6, 0.7, 1.0], [20, 30, 50]),
        ([0.1, 0.5, 0.6, 0.985, 1.0], [20, 30, 50]),
        ([0.1, 0.5, 0.995, 0.7, 1.0], [20]),
        ([0.1, 0.99, 0.6, 0.7, 1.0], []),
    ],
)
def test_no_sizes_are_tested_after_the_baseline_saturates(
    means: list[float], sizes: list[int]
) -> None:
    # Two seeds around the mean, and a contestant that is perfect from the start.
    values = np.array([means, means]) + np.array([[0.002], [-0.002]])
    task = setting({"badge": np.ones((2, 5)), "random": values})
    assert label_sizes(task, "random").tolist() == sizes
    assert label_sizes(task, "margin").tolist() == [20, 30, 50, 90]


def test_a_worked_example() -> None:
    # Differences a - b of the two seeds at 20, 30, 50 and 90 labels. The two-sided 10 % quantile
    # of Student's t with one degree of freedom is 6.31.
    # 20: 0.19 and 0.21, mean 0.2, deviation 0.0141: t = 20, a beats b.
    # 30: 0.1 and 0.3, mean 0.2, deviation 0.141: t = 2, not significant.
    # 50: -0.1 and -0.1: no deviation, b beats a.
    # 90: equal.
    b = np.full((2, 5), 0.5)
    a = b + np.array([[0, 0.19, 0.1, -0.1, 0], [0, 0.21, 0.3, -0.1, 0]])
    penalty = penalty_matrix([setting({"a": a, "b": b})], 0.9)
    assert penalty.tolist() == [[0, 0.25], [0.25, 0]]


def test_settings_have_equal_weight_for_any_number_of_sizes() -> None:
    worse = np.array([[0.1, 0.2], [0.2, 0.3]])
    short = setting({"a": worse + 0.5, "b": worse}, [10, 20])
    long = setting({"a": np.ones((2, 5)), "b": np.zeros((2, 5))})
    assert penalty_matrix([short, long], 0.9).tolist() == [[0, 2], [0, 0]]


@pytest.mark.parametrize("confidence", [0.5, 0.9])
def test_it_equals_pairwise_tests_by_scipy(confidence: float) -> None:
    rng = np.random.default_rng(0)
    names = ("a", "b", "c")
    tables = [
        {name: rng.normal(0.3 * place, 1, (5, 5)) for place, name in enumerate(names)}
        for _ in range(3)
    ]
    expected = np.zeros((3, 3))
    for table in tables:
        for i, ours in enumerate(names):
            for j, theirs in enumerate(names):
                for column in (1, 2, 3, 4):  # 10 + 10 x 1, 2, 4, 8 labels
                    if i == j:
                        continue
                    test = stats.ttest_rel(table[ours][:, column], table[theirs][:, column])
                    expected[i, j] += (test.statistic > 0 and test.pvalue < 1 - confidence) / 4
    penalty = penalty_matrix([setting(table) for table in tables], confidence)
    assert np.allclose(penalty, expected)
    assert penalty.any()


def test_a_single_seed_is_an_error() -> None:
    with pytest.raises(BadgeError, match="seeds: expected at least 2"):
        penalty_matrix([setting(flat(LABELS, seeds=1))], 0.9)
