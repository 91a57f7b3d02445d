from itertools import combinations

import numpy as np
import pytest
import torch
from law import THRESHOLD, p_value
from pools import make_pool

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.research.k_dpp import KDPP, compare_log_determinants, log_determinant

DRAWS, FEW = 10_000, 2_000


def dense_rows(pool: GradientEmbedding) -> np.ndarray:
    return pool.dense().double().numpy()


def volumes(pool: GradientEmbedding, k: int) -> dict[tuple[int, ...], float]:
    """Returns the determinant of the Gram matrix of every subset of k rows, by definition."""
    rows = dense_rows(pool)
    gram = rows @ rows.T
    return {
        subset: max(float(np.linalg.det(gram[np.ix_(subset, subset)])), 0.0)
        for subset in combinations(range(len(rows)), k)
    }


def tiny_pool(route: str) -> GradientEmbedding:
    """Returns six rows with 4 dimensions for the dual route, 16 for the Gram matrix."""
    generator = torch.Generator().manual_seed(3)
    classes, width = (2, 2) if route == "dual" else (4, 4)
    return GradientEmbedding.from_logits(
        torch.rand(6, width, generator=generator), torch.randn(6, classes, generator=generator)
    )


@pytest.mark.slow
@pytest.mark.parametrize("n_draws", [FEW, pytest.param(DRAWS, marks=pytest.mark.long)])
@pytest.mark.parametrize(("route", "k"), [("dual", 2), ("gram", 3)])
def test_subsets_have_probabilities_proportional_to_their_determinants(
    route: str, k: int, n_draws: int
) -> None:
    pool = tiny_pool(route)
    process = KDPP(pool)
    assert process._is_dual == (route == "dual")
    drawn = [tuple(process.sample(k, seed=seed).tolist()) for seed in range(n_draws)]
    weights = volumes(pool, k)
    total = sum(weights.values())
    law = {subset: weight / total for subset, weight in weights.items()}
    assert p_value(drawn, law) > THRESHOLD
    uniform = {subset: 1 / len(weights) for subset in weights}
    assert p_value(drawn, uniform) < THRESHOLD, "the test must be able to fail"


def test_equal_rows_are_never_drawn_together() -> None:
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    process = KDPP(GradientEmbedding.from_dense(rows.repeat(3, 1)))
    assert process.rank == 3
    for seed in range(200):
        assert len({row % 5 for row in process.sample(3, seed=seed).tolist()}) == 3


def test_dual_and_gram_matrix_have_the_same_eigenvalues() -> None:
    pool = make_pool(60, classes=3, width=4)
    dense = dense_rows(pool)
    exact = np.linalg.eigvalsh(dense.T @ dense)
    process = KDPP(pool)
    assert process._is_dual
    np.testing.assert_allclose(process._eigenvalues, exact[-process.rank :], rtol=1e-6)
    gram = KDPP(pool.take(slice(0, 9)))
    assert not gram._is_dual
    small = dense[:9] @ dense[:9].T
    np.testing.assert_allclose(
        gram._eigenvalues, np.linalg.eigvalsh(small)[-gram.rank :], rtol=1e-6
    )


@pytest.mark.parametrize("k", [0, True, 2.0, 4])
def test_a_size_outside_1_to_the_rank_is_an_error(k: object) -> None:
    process = KDPP(GradientEmbedding.from_dense(torch.eye(3)))
    with pytest.raises(OrderingError, match="from 1 to the rank 3"):
        process.sample(k)


def test_a_pool_without_rows_has_rank_zero() -> None:
    assert KDPP(make_pool(3).take(slice(0, 0))).rank == 0
    assert KDPP(GradientEmbedding.from_dense(torch.zeros(4, 2))).rank == 0


def test_a_matrix_that_is_too_large_is_an_error_before_it_is_allocated() -> None:
    rows = torch.zeros(5000, 1).expand(5000, 5000)
    pool = GradientEmbedding(rows[:, :1], rows, torch.zeros(5000), np.arange(5000))
    with pytest.raises(OrderingError, match="at most 4096 rows.*use a subset of the pool"):
        KDPP(pool)


def test_the_log_determinant_is_that_of_the_dense_gram_matrix() -> None:
    pool = make_pool(20)
    ids = pool.sample_ids[[3, 11, 4, 7]]
    rows = dense_rows(pool)[[3, 11, 4, 7]]
    exact = np.linalg.slogdet(rows @ rows.T)[1]
    assert log_determinant(pool, ids) == pytest.approx(exact, rel=1e-6)


def test_dependent_rows_have_log_determinant_minus_infinity() -> None:
    rows = torch.tensor([[1.0, 2.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0], [5.0, 1e-8, 1.0]])
    pool = GradientEmbedding.from_dense(rows)
    assert log_determinant(pool, [0, 1]) == -np.inf
    assert log_determinant(pool, [0, 2]) == -np.inf
    assert log_determinant(pool, [0, 3]) > -np.inf
    with pytest.raises(OrderingError, match="ids of the pool, got 9"):
        log_determinant(pool, [0, 9])


def test_log_determinants_of_all_contestants_are_of_the_same_pool() -> None:
    pool = make_pool(40)
    table = compare_log_determinants(pool, ["badge", "random"], [2, 4], [0, 1, 2])
    assert list(table) == ["k-DPP", "badge", "random"]
    assert all(values.shape == (3, 2) for values in table.values())
    process = KDPP(pool)
    assert table["k-DPP"][1, 0] == log_determinant(pool, process.sample(2, seed=1))
