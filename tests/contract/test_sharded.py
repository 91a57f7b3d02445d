"""The contract of strategies on several processes: the ordering of one process."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import context_of, make_pool
from thread_peers import on_threads, part_of, rows_of

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import EmbeddingError, OrderingError
from lightning_badge.ordering import STRATEGIES, LazyOrdering, Ordering, order
from lightning_badge.peers import Peers

SHARDED = sorted(name for name, rule in STRATEGIES.items() if rule.sharded)
# Besides the strategies' defaults.
ARGUMENTS = [
    ("badge", {"first_center": "max_norm"}),
    ("badge", {"first_center": "origin"}),
    ("badge", {"trials": 4}),
    ("coreset", {"first_center": "max_norm"}),
    ("maxherding", {"normalise": False}),
    ("uherding", {"summands": 20}),
]
CASES = [(name, {}) for name in SHARDED] + ARGUMENTS


def integer_pool(n: int, seed: int = 0, prefix: str = "s") -> GradientEmbedding:
    """Returns a pool whose distances are exact in every order of summation."""
    draws = np.random.default_rng(seed)
    pool = make_pool(n, seed=seed, prefix=prefix)
    grads = draws.integers(-3, 4, pool.logit_grad.shape)
    grads[:, 0] -= grads.sum(axis=1)
    rows = draws.integers(0, 4, pool.penultimate.shape)
    grad, penultimate = torch.tensor(grads).float(), torch.tensor(rows).float()
    sq_norm = grad.double().square().sum(1) * penultimate.double().square().sum(1)
    return GradientEmbedding(grad, penultimate, sq_norm, pool.sample_ids, loss=pool.loss)


def pool_for(name: str, n: int, seed: int = 0, prefix: str = "s") -> GradientEmbedding:
    """Returns a pool of small integers for strategies of distances, of probabilities for others."""
    by_distance = {"badge", "badge_labeled", "coreset", "kmeans_pp_penultimate", "maxherding"}
    make = integer_pool if name in by_distance else make_pool
    return make(n, seed=seed, prefix=prefix)


def batches_of(n: int, size: int) -> list[int]:
    return [size] * (n // size) + [n % size] * (n % size > 0)


def context_on(name: str, pool: GradientEmbedding, batches: list[int], peers: Peers) -> Any:
    """Returns the other arguments of a process: the labeled set whole, its rows of a posterior."""
    context = context_of(name, pool)
    if "posterior" in context:
        context["posterior"] = rows_of(context["posterior"], batches, peers)
    return context


def assert_same(found: Ordering, expected: Ordering) -> None:
    assert found.sample_ids.tolist() == expected.sample_ids.tolist()
    np.testing.assert_array_equal(found.gains, expected.gains)
    for name, values in expected.columns().items():
        np.testing.assert_allclose(found.columns()[name], values, rtol=1e-6, atol=1e-6)
    assert found.metadata == expected.metadata


@pytest.mark.usefixtures("either_backend")
@pytest.mark.parametrize(
    "world", [3, *(pytest.param(world, marks=pytest.mark.long) for world in (1, 2, 4))]
)
@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_the_ordering_is_that_of_one_process(
    name: str, arguments: dict[str, Any], world: int
) -> None:
    for n, size in ((1, 1), (2, 1), (11, 4), (80, 8)):
        pool, batches = pool_for(name, n), batches_of(n, size)
        expected = order(pool, name, seed=n, **context_of(name, pool), **arguments)

        def work(peers: Peers, pool: Any = pool, batches: Any = batches) -> Ordering:
            context = context_on(name, pool, batches, peers)
            return order(
                part_of(pool, batches, peers), name, seed=len(pool), **context, **arguments
            )

        for found in on_threads(world, work):
            assert_same(found, expected)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_parts_arrivals_and_discards_are_those_of_one_process(
    name: str, arguments: dict[str, Any]
) -> None:
    pool, more = pool_for(name, 90), pool_for(name, 40, seed=5, prefix="new")
    batches, arriving = batches_of(90, 8), batches_of(40, 8)
    both = context_of(name, pool), context_of(name, more)

    def steps(lazy: LazyOrdering, extension: GradientEmbedding, extra: Any) -> list[Ordering]:
        first = [lazy.take(3), lazy.take(20)]
        lazy.discard(["s7", "s80"] if not any(lazy.has_issued(i) for i in ("s7", "s80")) else [])
        second = lazy.take(5)
        lazy.extend(extension, **extra)
        return [*first, second, lazy.take(30), lazy.take()]

    def extra_of(context: Any, rows: Any = lambda tensor: tensor) -> Any:
        return {"posterior": rows(context["posterior"])} if "posterior" in context else {}

    expected = steps(
        LazyOrdering(pool, name, seed=4, **both[0], **arguments), more, extra_of(both[1])
    )

    def work(peers: Peers) -> list[Ordering]:
        context = context_on(name, pool, batches, peers)
        lazy = LazyOrdering(part_of(pool, batches, peers), name, seed=4, **context, **arguments)
        extra = extra_of(both[1], lambda tensor: rows_of(tensor, arriving, peers))
        return steps(lazy, part_of(more, arriving, peers), extra)

    for found in on_threads(3, work):
        for part, of_one in zip(found, expected, strict=True):
            assert_same(part, of_one)


@pytest.mark.parametrize("name", SHARDED)
def test_a_saved_state_continues(name: str) -> None:
    pool, batches = pool_for(name, 70), batches_of(70, 8)
    whole = order(pool, name, seed=2, **context_of(name, pool)).sample_ids.tolist()

    def work(peers: Peers) -> list[Any]:
        def build() -> LazyOrdering:
            context = context_on(name, pool, batches, peers)
            return LazyOrdering(part_of(pool, batches, peers), name, seed=2, **context)

        lazy = build()
        first = lazy.take(13)
        state = lazy.state_dict()
        second = build()
        second.load_state_dict(state)
        return [*first, *second.take()]

    for found in on_threads(2, work):
        assert found == whole


@settings(max_examples=25, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    world=st.integers(1, 4),
    seed=st.integers(0, 1000),
    k=st.integers(1, 60),
    name=st.sampled_from(["badge", "coreset", "maxherding"]),
)
def test_any_batches_on_any_number_of_processes(
    lengths: list[int], world: int, seed: int, k: int, name: str
) -> None:
    pool = integer_pool(sum(lengths), seed)
    expected = order(pool, name, seed=seed, k=k)

    def work(peers: Peers) -> Ordering:
        return order(part_of(pool, lengths, peers), name, seed=seed, k=k)

    for found in on_threads(world, work):
        assert_same(found, expected)


def test_copies_zero_rows_and_integer_ids() -> None:
    pool = integer_pool(24)
    rows = torch.tensor([0, 1, 2] * 8)
    copies = GradientEmbedding(
        pool.logit_grad[rows], pool.penultimate[rows] * (rows != 2)[:, None],
        pool.sq_norm[rows] * (rows != 2), np.arange(24) * 5,
    )  # fmt: skip
    for name in ("badge", "coreset", "maxherding"):
        expected = order(copies, name)
        for found in on_threads(3, lambda p, n=name: order(part_of(copies, [5] * 4 + [4], p), n)):
            assert_same(found, expected)


def test_an_empty_pool_is_an_empty_ordering() -> None:
    empty = integer_pool(3).take(slice(0))
    assert [len(found) for found in on_threads(2, lambda p: order(part_of(empty, [], p)))] == [0, 0]


def test_a_strategy_that_cannot_be_sharded_is_refused_by_name() -> None:
    pool = make_pool(6)
    posterior = torch.full((3, 2, 4), 0.25)

    def work(peers: Peers) -> None:
        order(part_of(pool, [3, 3], peers), "batchbald", posterior=posterior)

    with pytest.raises(OrderingError, match=r"'batchbald' cannot be computed by several.*badge"):
        on_threads(2, work)


def test_an_id_that_two_processes_hold_is_refused() -> None:
    pool = integer_pool(4)
    pool.sample_ids[3] = pool.sample_ids[0]
    with pytest.raises(EmbeddingError, match="distinct"):
        on_threads(2, lambda peers: order(part_of(pool, [2, 2], peers)))


def test_arrivals_without_a_shard_are_refused() -> None:
    pool, more = integer_pool(4), integer_pool(2, prefix="new")
    with pytest.raises(EmbeddingError, match="shard"):
        on_threads(2, lambda p: LazyOrdering(part_of(pool, [2, 2], p)).extend(more))
