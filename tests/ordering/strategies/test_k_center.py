import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sequential import k_center_radii

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering, order
from lightning_badge.ordering.strategies import k_center


def embed(rows: np.ndarray) -> GradientEmbedding:
    """Returns an embedding with these activations; k-center ignores the logits."""
    activations = torch.as_tensor(rows, dtype=torch.float32)
    return GradientEmbedding.from_logits(activations, torch.randn(len(rows), 3))


def random_rows(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, 5)).astype(np.float32)


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("block", [1, 4, 128])
def test_radii_equal_naive_greedy(backend: str, block: int, monkeypatch) -> None:
    monkeypatch.setattr(k_center, "SMALLEST_BLOCK", block)
    rows = random_rows(300)
    ordering = order(embed(rows), "coreset", seed=3, backend=backend)
    naive = k_center_radii(rows.astype(np.float64), int(ordering.sample_ids[0]))
    np.testing.assert_allclose(ordering.gains[1:], naive, rtol=1e-4, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    points=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20),
    block=st.integers(1, 6),
    seed=st.integers(0, 50),
)
def test_ties_go_to_the_lowest_row(points, block: int, seed: int) -> None:
    rows = np.array(points, dtype=np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(k_center, "SMALLEST_BLOCK", block)
        ordering = order(embed(rows), "coreset", seed=seed)
    chosen = ordering.sample_ids.tolist()
    nearest = ((rows - rows[chosen[0]]) ** 2).sum(1)
    for rank in range(1, len(rows)):
        remaining = [row for row in range(len(rows)) if row not in chosen[:rank]]
        farthest = max(nearest[remaining])
        assert chosen[rank] == min(row for row in remaining if nearest[row] == farthest)
        nearest = np.minimum(nearest, ((rows - rows[chosen[rank]]) ** 2).sum(1))


def test_labeled_rows_are_centers_from_the_start() -> None:
    rows, labeled = random_rows(80), random_rows(10, seed=1)
    ordering = order(embed(rows), "coreset", labeled=embed(labeled))
    first = int(ordering.sample_ids[0])
    nearest = ((rows[:, None] - labeled[None]) ** 2).sum(2).min(1)
    assert first == int(nearest.argmax())
    naive = k_center_radii(rows.astype(np.float64), first, list(labeled.astype(np.float64)))
    np.testing.assert_allclose(ordering.gains[1:], naive, rtol=1e-4, atol=1e-9)


def test_after_an_extension_radii_equal_greedy_given_the_issued_ranks() -> None:
    rows = random_rows(120)
    old = embed(rows[:70])
    lazy = LazyOrdering(old, "coreset", seed=2)
    issued = lazy.take(9).sample_ids
    new = torch.as_tensor(rows[70:])
    lazy.extend(GradientEmbedding.from_logits(new, torch.randn(50, 3), sample_ids=range(70, 120)))
    rest = lazy.take()
    centers = [rows[i].astype(np.float64) for i in issued]
    naive = k_center_radii(rows.astype(np.float64), int(rest.sample_ids[0]), centers)
    np.testing.assert_allclose(rest.gains[1:60], naive[:59], rtol=1e-4, atol=1e-9)


def test_most_distances_are_never_computed() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(4000, 8)) * generator.exponential(size=(4000, 1)) ** 2
    lazy = LazyOrdering(embed(rows), "coreset")
    lazy.take(200)
    assert lazy.counters.pairs < 0.8 * 4000 * 200


def test_the_first_center_may_have_the_largest_norm() -> None:
    rows = random_rows(40)
    ordering = order(embed(rows), "coreset", first_center="max_norm")
    assert ordering.sample_ids[0] == int((rows**2).sum(1).argmax())
