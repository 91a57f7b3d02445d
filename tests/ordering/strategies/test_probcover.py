import builtins
import importlib.util

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sequential import greedy_coverage

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import similarity
from lightning_badge.ordering import LazyOrdering, order
from lightning_badge.ordering.strategies import probcover


def pool_of(rows: np.ndarray, first_id: int = 0, classes: int = 4) -> GradientEmbedding:
    logits = torch.zeros(len(rows), classes)
    ids = range(first_id, first_id + len(rows))
    return GradientEmbedding.from_logits(torch.as_tensor(rows).float(), logits, sample_ids=ids)


def groups(n: int, seed: int = 0, noise: float = 0.15) -> np.ndarray:
    """Returns rows around four orthogonal directions."""
    generator = np.random.default_rng(seed)
    means = np.eye(6)[np.arange(n) % 4]
    return (means + noise * generator.normal(size=(n, 6))).astype(np.float32)


def distances(rows: np.ndarray) -> np.ndarray:
    """Returns distances on the sphere in float64, from differences of rows."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = rows / np.where(norms > 0, norms, 1)
    return np.linalg.norm(rows[:, None] - rows[None], axis=2)


@pytest.mark.parametrize("delta", [0.02, 0.25, 0.5, 1.3])
def test_equals_naive_greedy(delta: float) -> None:
    rows = groups(300)
    ordering = order(pool_of(rows), "probcover", delta=delta)
    chosen, gains = greedy_coverage(distances(rows) <= delta)
    assert ordering.sample_ids.tolist() == chosen
    assert ordering.gains.tolist() == gains
    assert ordering.gains.sum() == 300


@settings(deadline=None, max_examples=60)
@given(
    points=st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1)), min_size=1, max_size=20),
    block=st.integers(1, 6),
    delta=st.sampled_from([0.1, 0.8, 1.42]),
)
def test_ties_go_to_the_lowest_row(points, block: int, delta: float) -> None:
    rows = np.array(points, dtype=np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probcover, "BLOCK", block)
        ordering = order(pool_of(rows), "probcover", delta=delta)
    chosen, gains = greedy_coverage(distances(rows) <= delta)
    assert ordering.sample_ids.tolist() == chosen
    assert ordering.gains.tolist() == gains


def test_labeled_balls_cover_from_the_start() -> None:
    rows = groups(140)
    pool, labeled = pool_of(rows[:120]), pool_of(rows[120:], first_id=120)
    ordering = order(pool, "probcover", delta=0.3, labeled=labeled)
    weights = np.r_[np.ones(120), np.zeros(20)]
    chosen, gains = greedy_coverage(distances(rows) <= 0.3, weights, centers=range(120, 140))
    assert ordering.sample_ids.tolist() == chosen
    assert ordering.gains.tolist() == gains
    assert 0 < ordering.gains.sum() < 120


@pytest.mark.parametrize("taken", [0, 1, 11, 70])
def test_after_a_change_of_the_pool_ranks_equal_greedy_given_the_issued_ones(taken: int) -> None:
    rows = groups(200)
    whole = pool_of(rows)
    lazy = LazyOrdering(whole.take(slice(0, 120)), "probcover", delta=0.12)
    issued = lazy.take(taken).sample_ids.tolist() if taken else []
    lazy.extend(whole.take(slice(120, 200)))
    gone = [row for row in range(200) if row not in issued][::7]
    lazy.discard(gone)
    rest = lazy.take()
    weights = np.ones(200)
    weights[gone] = 0
    chosen, gains = greedy_coverage(distances(rows) <= 0.12, weights, centers=issued, never=gone)
    assert rest.sample_ids.tolist() == chosen
    assert rest.gains.tolist() == gains


def test_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_badge.kernels import balls

    pool = pool_of(groups(150))
    expected = order(pool, "probcover", delta=0.25)
    monkeypatch.setattr(balls, "TILE", 32)
    assert list(order(pool, "probcover", delta=0.25)) == list(expected)
    assert similarity.TILE != 32


def test_the_default_radius_is_the_largest_at_which_95_percent_of_the_balls_are_pure() -> None:
    rows = groups(400, noise=0.3)
    found = order(pool_of(rows), "probcover", k=1).metadata
    assert found["delta_rule"] == "purity"
    from lightning_badge.ordering.clusters import find_clusters, nearest_cluster, on_the_sphere

    grid = on_the_sphere(pool_of(rows))
    cluster = nearest_cluster(grid, find_clusters(grid, 4, seed=0)).numpy()
    assert np.bincount(cluster).min() > 50
    distance, differs = distances(rows), cluster[:, None] != cluster[None]

    def purity(delta: float) -> float:
        return float((~((distance <= delta) & differs).any(axis=1)).mean())

    assert purity(found["delta"]) >= 0.95
    assert purity(found["delta"] + 1e-6) < 0.95


def test_without_a_second_cluster_only_copies_are_covered() -> None:
    ordering = order(pool_of(np.ones((9, 6))), "probcover")
    assert ordering.metadata["delta"] == 0
    assert ordering.gains.tolist() == [9, *[0] * 8]


def test_a_radius_as_a_number_needs_no_other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    without = lambda name, *more: None if name == "sklearn" else find(name, *more)  # noqa: E731
    monkeypatch.setattr("lightning_badge.ordering.clusters.find_spec", without)
    load = builtins.__import__

    def no_sklearn(name: str, *more: object, **options: object) -> object:
        assert not name.startswith("sklearn")
        return load(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", no_sklearn)
    assert len(order(pool_of(groups(40)), "probcover", delta=0.3)) == 40
    for name in ("probcover", "typiclust"):
        with pytest.raises(OrderingError, match=r"lightning-badge\[clusters\]"):
            order(pool_of(groups(40)), name)
