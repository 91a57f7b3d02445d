import numpy as np
import pytest
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import BadgeError, OrderingError
from lightning_badge.ordering import kmeans_pp, order


def pool_of(n: int, seed: int = 0) -> GradientEmbedding:
    generator = torch.Generator().manual_seed(seed)
    return GradientEmbedding.from_logits(
        torch.randn(n, 64, generator=generator).relu(), 3 * torch.randn(n, 10, generator=generator)
    )


def test_gains_are_squared_distances_to_the_ranks_before() -> None:
    pool = pool_of(80)
    ordering = order(pool, seed=5)
    dense = pool.dense().double()[torch.from_numpy(ordering.sample_ids)]
    distances = torch.cdist(dense, dense).square()
    for rank in range(1, 80):
        assert ordering.gains[rank] == pytest.approx(float(distances[rank, :rank].min()), rel=1e-4)
    assert np.isnan(ordering.gains[0])


def test_the_first_center_may_be_the_longest_embedding() -> None:
    pool = pool_of(50)
    ordering = order(pool, first_center="max_norm")
    assert ordering.sample_ids[0] == int(pool.sq_norm.argmax())
    assert ordering.gains[0] == pytest.approx(float(pool.sq_norm.max()))


def test_a_uniform_first_center_reaches_every_row() -> None:
    pool = pool_of(5)
    assert {int(order(pool, k=1, seed=seed).sample_ids[0]) for seed in range(100)} == set(range(5))


def test_an_unknown_first_center_lists_the_known_ones() -> None:
    with pytest.raises(OrderingError, match="uniform, max_norm, got 'mean'"):
        order(pool_of(3), first_center="mean")


def test_no_copy_stands_before_the_last_original() -> None:
    original = pool_of(2_000)
    doubled = GradientEmbedding.from_logits(
        original.penultimate.repeat(2, 1), original.logit_grad.repeat(2, 1)
    )
    ordering = order(doubled, seed=1)
    half = ordering.sample_ids[:2_000] % 2_000
    assert len(np.unique(half)) == 2_000
    assert (ordering.gains[1:2_000] > 0).all()
    assert (ordering.gains[2_000:] == 0).all()


def test_the_zero_mass_tail_is_a_seeded_shuffle() -> None:
    rows = torch.ones(30, 2)
    tails = {tuple(kmeans_pp(rows, seed=seed).tolist()) for seed in range(10)}
    assert len(tails) == 10
    assert kmeans_pp(rows, seed=4).tolist() == kmeans_pp(rows, seed=4).tolist()


def test_gains_span_twelve_decades_without_losing_a_row() -> None:
    scale = torch.logspace(-6, 0, 400, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(400, 8, generator=generator, dtype=torch.float64) * scale[:, None]
    ordering = order(GradientEmbedding.from_dense(rows.float()), seed=2)
    assert (ordering.gains[1:] > 0).all()
    assert ordering.gains[1:].max() / ordering.gains[1:].min() > 1e11


def test_dense_rows_of_any_kind_are_ordered() -> None:
    assert sorted(kmeans_pp(np.eye(4)).tolist()) == [0, 1, 2, 3]
    assert kmeans_pp([[1.0], [2.0]], k=1).dtype == np.int64
    with pytest.raises(BadgeError, match=r"\[n, d\]"):
        kmeans_pp([1.0, 2.0])
