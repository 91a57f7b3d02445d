"""Orderings that are made again when samples arrive."""

from math import isclose

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pools import make_pool
from scipy.stats import hypergeom

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering import STRATEGIES, LazyOrdering, Ordering, order
from lightning_badge.ordering.successor import novelty, rank_again, successor


def of(ids: list[int]) -> Ordering:
    gains = np.array(ids, dtype=np.float64)
    return Ordering(sample_ids=np.array(ids, dtype=np.int64), gains=gains)


@given(st.data())
def test_published_ranks_stay_and_the_others_fill_the_rest_in_their_order(
    data: st.DataObject,
) -> None:
    n = data.draw(st.integers(0, 12))
    parent = data.draw(st.permutations(range(n)))
    published = data.draw(st.lists(st.sampled_from(parent), unique=True)) if n else []
    arrived = list(range(100, 100 + data.draw(st.integers(0, 5))))
    others = data.draw(st.permutations([key for key in parent if key not in published] + arrived))
    made = successor(of(list(parent)), of(list(others)), published)
    ids = made.sample_ids.tolist()
    for key in published:
        assert ids.index(key) == parent.index(key)
    assert [key for key in ids if key not in published] == list(others)
    assert made.gains is not None
    assert made.gains.tolist() == ids


@given(st.permutations(range(8)), st.sets(st.integers(0, 7)), st.sets(st.integers(0, 7)))
def test_samples_that_left_leave_no_gap(
    parent: list[int], published: set[int], left: set[int]
) -> None:
    others = [key for key in reversed(parent) if key not in published | left]
    ids = successor(of(parent), of(others), published).sample_ids.tolist()
    assert sorted(ids) == sorted(published | set(others))
    for key in published:
        if parent.index(key) < len(ids):
            assert ids.index(key) == parent.index(key)


def test_a_sample_that_is_published_meanwhile_keeps_its_rank() -> None:
    made = successor(of([5, 6, 7, 8]), of([9, 7, 6, 8]), [5, 6])
    assert made.sample_ids.tolist() == [5, 6, 9, 7, 8]


def test_published_ids_must_be_of_the_ordering_before() -> None:
    with pytest.raises(OrderingError, match="published"):
        successor(of([1, 2]), of([3]), [4])


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_what_is_not_published_is_ranked_with_the_newcomers(name: str) -> None:
    whole, rule = make_pool(80), STRATEGIES[name]
    pool, newcomers = whole.take(slice(0, 60)), whole.take(slice(60, 80))
    if "posterior" in rule.needs:
        with pytest.raises(OrderingError, match="posterior"):
            rank_again(pool, newcomers, [], name, seed=0)
        return
    labeled = {"labeled": make_pool(5)} if "labeled" in rule.needs else {}
    published = list(order(pool, name, k=10, **labeled))
    again = rank_again(pool, newcomers, published, name, seed=1, **labeled)
    assert sorted(published + list(again)) == sorted(whole.sample_ids.tolist())
    same = rank_again(pool, newcomers, published, name, seed=1, **labeled)
    assert list(same) == list(again)


def test_the_published_ones_are_centers_and_a_striking_newcomer_comes_soon() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 6, generator=generator)
    pool = GradientEmbedding.from_dense(rows[:190], sample_ids=range(190))
    like_center = rows[3:4] + 1e-6
    newcomers = GradientEmbedding.from_dense(
        torch.cat([like_center, 50 * rows[190:191]]), sample_ids=[500, 501]
    )
    again = list(rank_again(pool, newcomers, [3, 7], "coreset", seed=0))
    assert again[0] == 501
    assert again[-1] == 500


def test_nothing_remains_when_everything_is_published() -> None:
    pool = make_pool(5)
    assert len(rank_again(pool, None, pool.sample_ids.tolist(), "badge", seed=0)) == 0


def test_without_published_ones_it_is_the_ordering_of_all() -> None:
    whole = make_pool(40)
    again = rank_again(whole.take(slice(0, 30)), whole.take(slice(30, 40)), [], "badge", seed=4)
    assert list(again) == list(LazyOrdering(whole, "badge", seed=4).take())


@given(st.integers(10, 300), st.data())
def test_the_p_value_is_that_of_the_hypergeometric_law(n: int, data: st.DataObject) -> None:
    newcomers = data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=9))
    found, expected, p_value = novelty(of(list(range(n))), newcomers, 15)
    first = min(15, n // 10)
    assert found == len([key for key in newcomers if key < first])
    law = hypergeom(n, len(newcomers), first)
    assert isclose(expected, law.mean(), abs_tol=1e-12)
    assert isclose(p_value, law.sf(found - 1), rel_tol=1e-6, abs_tol=1e-12)


def test_few_ranks_prove_nothing() -> None:
    assert novelty(of([1, 2, 3]), [1]).p_value == 1.0
