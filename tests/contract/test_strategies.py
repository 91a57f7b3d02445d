"""The contract of every strategy in the registry."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import context_of, make_pool

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering import STRATEGIES, Ordering
from lightning_badge.ordering import order as order_any
from lightning_badge.sample_ids import fingerprint

NAMES = sorted(STRATEGIES)


def order(pool: GradientEmbedding, name: str = "badge", **arguments: object) -> Ordering:
    """Orders a pool and passes the other arguments that the strategy requires."""
    context = context_of(name, pool) if name in STRATEGIES else {}
    return order_any(pool, name, **context, **arguments)


def degenerate_pool(kind: str) -> GradientEmbedding:
    pool = make_pool(12)
    penultimate, logits = pool.penultimate, torch.randn(12, 4)
    if kind == "copies":
        return GradientEmbedding.from_logits(penultimate[[0, 1] * 6], logits[[0, 1] * 6])
    if kind == "zero rows":
        return GradientEmbedding.from_logits(torch.zeros(12, 6), logits)
    if kind == "some zero rows":
        penultimate = penultimate.clone()
        penultimate[::2] = 0.0
        return GradientEmbedding.from_logits(penultimate, logits)
    return GradientEmbedding.from_logits(penultimate[:1], logits[:1])


@pytest.mark.usefixtures("either_backend")
@pytest.mark.parametrize("name", NAMES)
class TestEveryStrategy:
    def test_orders_the_whole_pool_without_k(self, name: str) -> None:
        pool = make_pool(40)
        ordering = order(pool, name)
        assert sorted(ordering) == sorted(pool.sample_ids.tolist())

    def test_a_smaller_k_gives_a_prefix(self, name: str) -> None:
        pool = make_pool(60)
        whole = order(pool, name, seed=3)
        for k in (1, 2, 7, 33, 59, 60, 100):
            prefix = order(pool, name, k=k, seed=3)
            assert prefix.sample_ids.tolist() == whole.sample_ids[:k].tolist()
            np.testing.assert_array_equal(prefix.gains, whole.gains[:k])

    @pytest.mark.parametrize("kind", ["copies", "zero rows", "some zero rows", "one row"])
    def test_degenerate_pools_are_ordered_completely(self, name: str, kind: str) -> None:
        pool = degenerate_pool(kind)
        for seed in range(5):
            ordering = order(pool, name, seed=seed)
            assert sorted(ordering) == sorted(pool.sample_ids.tolist())
            short = order(pool, name, seed=seed, k=5)
            assert list(short) == list(ordering)[:5]

    def test_same_seed_same_ordering(self, name: str) -> None:
        pool = make_pool(50)
        assert list(order(pool, name, seed=7)) == list(order(pool, name, seed=7))

    def test_no_global_random_state_is_touched(self, name: str) -> None:
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        order(make_pool(20), name)
        assert torch.equal(before[0], torch.get_rng_state())
        np.testing.assert_array_equal(before[1], np.random.get_state()[1])

    def test_an_empty_pool_is_an_empty_ordering(self, name: str) -> None:
        empty = GradientEmbedding.from_logits(torch.ones(0, 3), torch.ones(0, 2))
        assert len(order(empty, name)) == 0

    @pytest.mark.parametrize("k", [0, -3, True, 2.5])
    def test_k_must_be_a_positive_integer(self, name: str, k: object) -> None:
        with pytest.raises(OrderingError, match="expected a positive integer"):
            order(make_pool(5), name, k=k)

    def test_every_rank_has_label_and_confidence(self, name: str) -> None:
        pool = make_pool(30)
        ordering = order(pool, name)
        rows = [pool.sample_ids.tolist().index(sample_id) for sample_id in ordering]
        assert ordering.hallucinated_label.tolist() == pool.hallucinated_label[rows].tolist()
        np.testing.assert_array_equal(ordering.confidence, pool.confidence[rows].numpy())

    def test_metadata_describes_the_ordering(self, name: str) -> None:
        pool = make_pool(30)
        metadata = order(pool, name, k=4, seed=9).metadata
        assert metadata["strategy"] == name
        assert metadata["seed"] == 9
        assert metadata["n_pool"] == 30
        assert metadata["pool_fingerprint"] == fingerprint(pool.sample_ids)
        assert (metadata["classes"], metadata["width"]) == (4, 6)

    def test_multi_label_pools_are_ordered_too(self, name: str) -> None:
        pool = GradientEmbedding.from_logits(
            torch.randn(9, 3), torch.randn(9, 4), loss="binary_cross_entropy"
        )
        ordering = order(pool, name)
        assert sorted(ordering) == list(range(9))
        assert ordering.hallucinated_label is None


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 25),
    seed=st.integers(0, 2**32),
    name=st.sampled_from(NAMES),
    data=st.data(),
)
def test_orderings_are_permutations_with_stable_prefixes(n, seed, name, data) -> None:
    copies = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    base = make_pool(4, seed=1)
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(2))
    pool = GradientEmbedding.from_logits(base.penultimate[copies], logits[copies])
    whole = list(order(pool, name, seed=seed))
    assert sorted(whole) == list(range(n))
    k = data.draw(st.integers(1, n))
    assert list(order(pool, name, seed=seed, k=k)) == whole[:k]


def test_missing_and_unused_labeled_sets_are_errors() -> None:
    pool = make_pool(5)
    with pytest.raises(OrderingError, match="'badge_labeled' needs labeled="):
        order_any(pool, "badge_labeled")
    with pytest.raises(OrderingError, match="'entropy' does not use labeled="):
        order_any(pool, "entropy", labeled=pool)


def test_an_unknown_strategy_lists_the_known_ones() -> None:
    with pytest.raises(OrderingError, match="badge, badge_labeled, .*random, .*, got 'bagde'"):
        order(make_pool(3), "bagde")


def test_an_unknown_argument_names_those_that_exist() -> None:
    with pytest.raises(OrderingError, match="'badge' takes first_center, trials; got first"):
        order(make_pool(3), "badge", first="uniform")
    with pytest.raises(OrderingError, match="no arguments of its own"):
        order(make_pool(3), "random", first_center="uniform")


class TestOrdering:
    def test_take_keeps_every_column(self) -> None:
        ordering = order(make_pool(10))
        prefix = ordering.take(3)
        assert isinstance(prefix, Ordering)
        assert all(len(values) == 3 for values in prefix.columns().values())

    def test_columns_must_be_as_long_as_the_ids(self) -> None:
        with pytest.raises(OrderingError, match="gains: expected one value per sample id, 2"):
            Ordering(np.array([1, 2]), gains=np.zeros(3))

    def test_ids_must_be_distinct(self) -> None:
        with pytest.raises(OrderingError, match="1 came more than once"):
            Ordering(np.array([1, 1]))

    def test_a_negative_prefix_is_an_error(self) -> None:
        with pytest.raises(OrderingError, match="0 or more"):
            order(make_pool(3)).take(-1)
