from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.datamodule.initial_draw import draw_initial, stratified_draw
from lightning_badge.exceptions import LabelError

class_sizes = st.lists(st.integers(1, 30), min_size=1, max_size=8)


@given(sizes=class_sizes, seed=st.integers(0, 2**32), data=st.data())
def test_each_class_has_its_share_and_none_stays_empty(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    classes = np.repeat(np.arange(len(sizes)), sizes)
    count = data.draw(st.integers(0, len(classes)))
    rows = stratified_draw(classes, count, np.random.default_rng(seed))
    drawn = Counter(classes[rows].tolist())
    assert len(set(rows.tolist())) == len(rows) == count
    quotas = [Fraction(size * count, len(classes)) for size in sizes]
    if count >= len(sizes):
        assert len(drawn) == len(sizes)
    if count < len(sizes) or min(quotas) >= 1:
        assert all(abs(drawn[label] - quota) < 1 for label, quota in enumerate(quotas))


def test_a_class_that_would_stay_empty_takes_from_the_largest() -> None:
    classes = np.repeat([0, 1, 2], [90, 9, 1])
    rows = stratified_draw(classes, 5, np.random.default_rng(0))
    assert Counter(classes[rows].tolist()) == {0: 3, 1: 1, 2: 1}


def test_the_draw_is_a_function_of_the_seed() -> None:
    labels = ["cat", "dog"] * 50
    draws = [draw_initial(labels, 100, 10, seed).tolist() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_few_labels_reach_any_class() -> None:
    labels = list(range(10)) * 3
    reached = {labels[row] for seed in range(40) for row in draw_initial(labels, 30, 1, seed)}
    assert reached == set(range(10))


@pytest.mark.parametrize("known", [None, [[0, 1]] * 20])
def test_without_one_class_for_each_row_the_draw_is_uniform(known: list[list[int]] | None) -> None:
    counts = Counter(
        row for seed in range(400) for row in draw_initial(known, 20, 5, seed).tolist()
    )
    assert len(counts) == 20
    assert all(60 < count < 140 for count in counts.values())


@pytest.mark.parametrize("count", [-1, 21])
def test_an_impossible_count_is_an_error(count: int) -> None:
    with pytest.raises(LabelError, match=rf"a count from 0 to 20, got {count}$"):
        draw_initial(None, 20, count, seed=0)
