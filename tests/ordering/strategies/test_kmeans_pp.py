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


def test_gains_are_squared_distances_to_the_earlier_ranks() -> None:
    pool = pool_of(80)
    ordering = order(pool, seed=5)
    dense = pool.dense().double()[torch.from_numpy(ordering.sample_ids)]
    distances = torch.cdist(dense, dense).square()
    for rank in range(1, 80):
        assert ordering.gains[rank] == pytest.approx(float(distances[rank, :rank].min()), rel=1e-4)
    assert np.isnan(ordering.gains[0])


def test_the_first_center_may_have_the_largest_norm() -> None:
    pool = pool_of(50)
    ordering = order(pool, first_center="max_norm")
    assert ordering.sample_ids[0] == int(pool.sq_norm.argmax())
    assert ordering.gains[0] == pytest.approx(float(pool.sq_norm.max()))


def test_a_uniform_first_center_reaches_every_row() -> None:
    pool = pool_of(5)
    assert {int(order(pool, k=1, seed=seed).sample_ids[0]) for seed in range(100)} == set(range(5))


def test_an_unknown_first_center_lists_the_known_ones() -> None:
    with pytest.raises(OrderingError, match="uniform, max_norm, origin, got 'mean'"):
        order(pool_of(3), first_center="mean")


def test_the_zero_mass_tail_is_a_seeded_shuffle() -> None:
    rows = torch.ones(30, 2)
    tails = {tuple(kmeans_pp(rows, seed=seed).tolist()) for seed in range(10)}
    assert len(tails) == 10
    assert kmeans_pp(rows, seed=4).tolist() == kmeans_pp(rows, seed=4).tolist()


def test_dense_rows_of_any_kind_are_ordered() -> None:
    assert sorted(kmeans_pp(np.eye(4)).tolist()) == [0, 1, 2, 3]
    assert kmeans_pp([[1.0], [2.0]], k=1).dtype == np.int64
    with pytest.raises(BadgeError, match=r"\[n, d\]"):
        kmeans_pp([1.0, 2.0])
