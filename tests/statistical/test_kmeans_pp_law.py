"""The k-means++ selector has the distribution of sequential k-means++, on enumerable pools."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from law import DRAWS, POOLS, THRESHOLD, Law, kmeans_pp_law, p_value

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Accepted, Factors, torch_blocked
from lightning_badge.kernels.registry import resolve_backend
from lightning_badge.ordering import kmeans_pp
from lightning_badge.ordering.distance_selector import gradients
from lightning_badge.ordering.strategies import kmeans_pp as kmeans_pp_module
from lightning_badge.ordering.strategies.kmeans_pp import KMeansPP

pytestmark = pytest.mark.no_cover  # tens of thousands of draws; other tests cover the same lines

Points = np.ndarray
ALL = 99
FEW = DRAWS // 40  # enough to detect a selector that accepts every candidate


@pytest.fixture(params=[FEW, pytest.param(DRAWS, marks=pytest.mark.long)])
def n_draws(request: pytest.FixtureRequest) -> int:
    """Number of orderings drawn for a comparison with a law."""
    return int(request.param)


def embed(points: Points) -> GradientEmbedding:
    return GradientEmbedding.from_dense(torch.from_numpy(points))


def select(
    points: Points | GradientEmbedding, seed: int, block: int, backend: str, **more: object
) -> KMeansPP:
    pool = points if isinstance(points, GradientEmbedding) else embed(points)
    resolved = resolve_backend(backend)
    return KMeansPP(pool, gradients, seed=seed, backend=resolved, blocks=(block, block), **more)


def draws(once: Callable[[int], np.ndarray], n: int) -> list[tuple[int, ...]]:
    with torch.inference_mode():
        return [tuple(once(seed).tolist()) for seed in range(n)]


def draws_of(
    pool: KMeansPP,
    depth: int,
    n: int,
    once: Callable[[int], np.ndarray] | None = None,
) -> list[tuple[int, ...]]:
    """Draws ``n`` orderings from one selector, reset to its start with a new seed each time."""
    start = pool.state_dict()

    def restarted(seed: int) -> np.ndarray:
        start["pool"]["draws"] = np.random.default_rng(seed).bit_generator.state
        pool.load_state_dict(start)
        return pool.take(depth).positions if once is None else once(seed)

    return draws(restarted, n)


def test_the_enumerated_law_is_a_probability() -> None:
    for points in POOLS.values():
        assert sum(kmeans_pp_law(points).values()) == pytest.approx(1.0)


def test_the_law_of_three_points_on_a_line_by_hand() -> None:
    law = kmeans_pp_law(np.array([[0.0], [1.0], [3.0]]))
    assert law[(0, 1, 2)] == pytest.approx(1 / 3 * 1 / 10)
    assert law[(1, 2, 0)] == pytest.approx(1 / 3 * 4 / 5)


@pytest.mark.parametrize(
    ("name", "block", "backend", "depth"),
    [
        pytest.param("outlier", 1, "numba", 3, marks=pytest.mark.long),
        ("line", 3, "torch", 3),  # one row remains
        ("copies", 3, "numba", ALL),
        ("square", 16, "numba", ALL),
    ],
)
def test_orderings_follow_the_law(
    name: str, block: int, backend: str, depth: int, n_draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch_blocked, "CHUNK", {True: 2})  # so that a tiny pool has chunks to skip
    points = POOLS[name]
    drawn = draws_of(select(points, 0, block, backend), depth, n_draws)
    assert p_value(drawn, kmeans_pp_law(points, depth)) > THRESHOLD


def test_orderings_of_a_compacted_pool_follow_the_law(
    n_draws: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kmeans_pp_module, "SORT_FROM", 1)
    points = POOLS["scales"]
    pool = select(points, 0, 3, "numba")
    rows_kept = set()

    def once(seed: int) -> np.ndarray:
        drawn = pool.take(ALL).positions
        rows_kept.add(len(pool._engine.positions))
        return drawn

    drawn = draws_of(pool, ALL, n_draws, once)
    assert min(rows_kept) < len(points)  # it was compacted
    assert p_value(drawn, kmeans_pp_law(points)) > THRESHOLD


@pytest.mark.parametrize(("backend", "block"), [("torch", 16), ("numba", 3)])
def test_factored_float32_orderings_follow_the_law(backend: str, block: int, n_draws: int) -> None:
    generator = np.random.default_rng(5)
    a, h = generator.integers(-3, 4, (6, 3)), generator.integers(0, 4, (6, 4))
    embedding = GradientEmbedding.from_dense(torch.tensor(h, dtype=torch.float32))
    factors = embedding.factors.of(torch.tensor(a).float(), torch.tensor(h).float())
    dense = np.einsum("nc,nh->nch", a, h).reshape(6, -1).astype(np.float64)
    pool = KMeansPP(
        embedding,
        lambda _: factors,
        seed=0,
        backend=resolve_backend(backend),
        blocks=(block, block),
    )
    assert p_value(draws_of(pool, 3, n_draws), kmeans_pp_law(dense, 3)) > THRESHOLD


@pytest.mark.parametrize("with_labels", [pytest.param(False, marks=pytest.mark.long), True])
def test_the_law_after_an_extension_is_conditional_on_the_issued_ranks(
    with_labels: bool, n_draws: int
) -> None:
    old, new = POOLS["scales"][:4], POOLS["scales"][4:]
    both = np.concatenate([old, new])
    labeled = np.array([[2.0], [500.0]]) if with_labels else None
    pools = embed(old), embed(both)
    more = {"labeled": embed(labeled)} if with_labels else {}

    def once(seed: int) -> np.ndarray:
        pool = select(pools[0], seed, 3, "numba", **more)
        before = pool.take(2).positions
        pool.extend(pools[1])
        return np.concatenate([before, pool.take(2).positions])

    law: Law = {}
    for head, share in kmeans_pp_law(old, 2, centers=labeled).items():
        for tail, probability in kmeans_pp_law(both, 2, chosen=head, centers=labeled).items():
            law[head + tail] = share * probability
    assert p_value(draws(once, n_draws), law) > THRESHOLD


def test_the_law_after_a_discard_is_that_of_the_kept_rows(n_draws: int) -> None:
    points = POOLS["square"]
    pool = select(points, 0, 3, "numba")

    def once(seed: int) -> np.ndarray:
        before = pool.take(2).positions
        pool.discard(np.array([next(row for row in range(6) if row not in before)]))
        return np.concatenate([before, pool.take(2).positions])

    law: Law = {}
    for head, share in kmeans_pp_law(points, 2).items():
        discarded = (next(row for row in range(6) if row not in head),)
        for tail, probability in kmeans_pp_law(points, 2, chosen=head, discarded=discarded).items():
            law[head + tail] = share * probability
    assert p_value(draws_of(pool, 4, n_draws, once), law) > THRESHOLD


def test_labeled_rows_are_centers_from_the_start(n_draws: int) -> None:
    points, labeled = POOLS["scales"], np.array([[2.0], [500.0]])
    drawn = draws_of(select(points, 0, 3, "numba", labeled=embed(labeled)), 3, n_draws)
    assert p_value(drawn, kmeans_pp_law(points, 3, centers=labeled)) > THRESHOLD


def test_accepting_every_candidate_is_detected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def accept_all(
        sq_dist: torch.Tensor,
        limit: torch.Tensor,
        rows: Factors,
        positions: torch.Tensor,
        **_: object,
    ) -> Accepted:
        candidates = rows.take(positions)
        distinct = torch.unique(candidates.penultimate, dim=0, return_inverse=True)[1]
        first = torch.tensor([(distinct == d).nonzero()[0, 0] for d in distinct.unique()])
        return Accepted.all_of(first.sort().values, sq_dist[first.sort().values])

    points = POOLS["scales"]
    monkeypatch.setattr(resolve_backend("numba"), "accept", accept_all)
    drawn = draws_of(select(points, 0, 16, "numba"), 3, FEW)
    assert p_value(drawn, kmeans_pp_law(points, 3)) < THRESHOLD


def test_the_public_function_draws_the_same_ordering_as_the_selector() -> None:
    points = POOLS["square"]
    selected = (
        KMeansPP(embed(points), gradients, seed=3, backend=resolve_backend("torch"))
        .take(ALL)
        .positions
    )
    assert kmeans_pp(points, seed=3).tolist() == selected.tolist()
