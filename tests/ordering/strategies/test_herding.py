import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sequential import greedy_coverage

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import herding as kernel
from lightning_badge.kernels.similarity import ONE, GridRows, falloff_of, grid_step, similarities
from lightning_badge.ordering import LazyOrdering, order
from lightning_badge.ordering.strategies import herding

BACKENDS = ["torch", "numba", "reference"]


def pool_of(rows: np.ndarray, seed: int = 0, first_id: int = 0) -> GradientEmbedding:
    """Returns an embedding with these activations and random logits of four classes."""
    logits = 3 * torch.randn(len(rows), 4, generator=torch.Generator().manual_seed(seed))
    ids = range(first_id, first_id + len(rows))
    return GradientEmbedding.from_logits(torch.as_tensor(rows).float(), logits, sample_ids=ids)


def clusters(n: int, seed: int = 0, width: int = 5) -> np.ndarray:
    """Returns rows in clusters of different size and density."""
    generator = np.random.default_rng(seed)
    means = generator.normal(size=(7, width))
    label = np.minimum(generator.geometric(0.35, size=n) - 1, 6)
    noise = 0.05 * (1 + label[:, None]) * generator.normal(size=(n, width))
    return (means[label] + noise).astype(np.float32)


def exact_similarities(rows: np.ndarray, sigma: float, normalise: bool = True) -> np.ndarray:
    """Returns similarities in float64, from differences of rows."""
    rows = rows.astype(np.float64)
    if normalise:
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows = rows / np.where(norms > 0, norms, 1)
    sq_distance = ((rows[:, None] - rows[None]) ** 2).sum(axis=2)
    return np.exp(-sq_distance / sigma**2)


def margin_weights(pool: GradientEmbedding) -> np.ndarray:
    largest = pool.confidence.double().numpy()
    runner_up = pool.logit_grad.double().clamp(min=0).amax(dim=1).numpy()
    return 1 - (largest - runner_up)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["maxherding", "uherding"])
@pytest.mark.parametrize("normalise", [True, False])
def test_the_objective_equals_naive_greedy_in_float64(
    backend: str, name: str, normalise: bool
) -> None:
    rows = clusters(250)
    pool = pool_of(rows)
    ordering = order(pool, name, sigma=0.3, normalise=normalise, backend=backend)
    weights = margin_weights(pool) if name == "uherding" else np.ones(250)
    similarity = exact_similarities(rows, 0.3, normalise)
    chosen, gains = greedy_coverage(similarity, weights)
    assert ordering.sample_ids[:60].tolist() == chosen[:60]
    np.testing.assert_allclose(np.cumsum(ordering.gains), np.cumsum(gains), rtol=2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(deadline=None, max_examples=40)
@given(
    points=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=18),
    block=st.integers(1, 6),
    at_once=st.integers(1, 5),
)
def test_ties_go_to_the_lowest_row(backend: str, points, block: int, at_once: int) -> None:
    rows = np.array(points, dtype=np.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(herding, "SMALLEST_BLOCK", block)
        patch.setattr(kernel, "AT_ONCE", at_once)
        ordering = order(pool_of(rows), "maxherding", sigma=1.5, normalise=False, backend=backend)
    grid = on_grid(rows, normalise=False)
    falloff = falloff_of(1.5, grid_step(float(np.linalg.norm(rows, axis=1).max())))
    chosen, gains = greedy_coverage(similarities(grid, grid, falloff).long().numpy())
    assert ordering.sample_ids.tolist() == chosen
    assert (ordering.gains * ONE).tolist() == gains


def on_grid(rows: np.ndarray, *, normalise: bool = True) -> GridRows:
    tensor = torch.as_tensor(rows, dtype=torch.float32)
    largest = 1.0 if normalise else float(np.linalg.norm(rows, axis=1).max())
    return GridRows.of(tensor, normalise=normalise, step=grid_step(largest))


@pytest.mark.parametrize("backend", BACKENDS)
def test_all_back_ends_return_the_same_integers(backend: str) -> None:
    pool, labeled = pool_of(clusters(400)), pool_of(clusters(9, seed=3), first_id=900)
    arguments = {"labeled": labeled, "sigma": "neighbour"}
    ordering = order(pool, "uherding", backend=backend, **arguments)
    expected = order(pool, "uherding", backend="torch", **arguments)
    assert list(ordering) == list(expected)
    np.testing.assert_array_equal(ordering.gains, expected.gains)


@pytest.mark.parametrize("backend", BACKENDS)
def test_labeled_rows_are_centers_from_the_start(backend: str) -> None:
    rows = clusters(130)
    pool, labeled = pool_of(rows[:120]), pool_of(rows[120:], first_id=120)
    ordering = order(pool, "maxherding", sigma=0.4, labeled=labeled, backend=backend)
    similarity = exact_similarities(rows, 0.4)
    weights = np.r_[np.ones(120), np.zeros(10)]
    chosen, gains = greedy_coverage(similarity, weights, centers=range(120, 130))
    assert ordering.sample_ids[:40].tolist() == chosen[:40]
    np.testing.assert_allclose(ordering.gains[:40], gains[:40], rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["maxherding", "uherding"])
def test_after_a_change_of_the_pool_ranks_equal_greedy_given_the_issued_ones(
    backend: str, name: str
) -> None:
    rows = clusters(160)
    whole = pool_of(rows)
    lazy = LazyOrdering(whole.take(slice(0, 100)), name, sigma=0.3, backend=backend)
    issued = lazy.take(11).sample_ids.tolist()
    lazy.extend(whole.take(slice(100, 160)))
    gone = [row for row in range(160) if row not in issued][::7]
    lazy.discard(gone)
    rest = lazy.take()
    weights = margin_weights(whole) if name == "uherding" else np.ones(160)
    weights[gone] = 0
    chosen, gains = greedy_coverage(
        exact_similarities(rows, 0.3), weights, centers=issued, never=gone
    )
    assert rest.sample_ids[:40].tolist() == chosen[:40]
    np.testing.assert_allclose(rest.gains[:40], gains[:40], rtol=1e-5)
    assert rest.metadata["sigma"] == 0.3


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_of_larger_norm_may_be_added(backend: str) -> None:
    rows = clusters(120)
    rows[80:] *= 5
    whole = pool_of(rows)
    lazy = LazyOrdering(
        whole.take(slice(0, 80)), "maxherding", sigma=0.5, normalise=False, backend=backend
    )
    issued = lazy.take(7).sample_ids.tolist()
    lazy.extend(whole.take(slice(80, 120)))
    _, gains = greedy_coverage(exact_similarities(rows, 0.5, False), centers=issued)
    np.testing.assert_allclose(lazy.take().gains, gains, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["maxherding", "uherding"])
def test_the_number_of_threads_changes_nothing(name: str) -> None:
    pool = pool_of(clusters(700, width=16))
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(order(pool, name, k=50, backend="numba"))
    torch.set_num_threads(1)
    assert list(found[0]) == list(found[1])
    np.testing.assert_array_equal(found[0].gains, found[1].gains)


def test_sigma_is_the_median_distance_to_the_twentieth_neighbour() -> None:
    rows = clusters(300)
    ordering = order(pool_of(rows), "maxherding", k=1)
    similarity = exact_similarities(rows, 1.0)
    distances = np.sort(np.sqrt(-np.log(np.clip(similarity, 1e-300, 1))), axis=1)
    assert ordering.metadata["sigma"] == pytest.approx(np.median(distances[:, 20]), rel=1e-6)
    assert ordering.metadata["sigma_rule"] == "neighbour"


def test_sigma_of_a_pool_of_copies_ignores_the_copies() -> None:
    distinct = clusters(12)
    ordering = order(pool_of(np.tile(distinct, (30, 1))), "maxherding")
    assert ordering.metadata["sigma"] > 0
    assert set(ordering.sample_ids[:12].tolist()) == set(range(12))
    assert (ordering.gains[:12] > 0).all()
    assert ordering.sample_ids[12:].tolist() == list(range(12, 360))
    assert (ordering.gains[12:] == 0).all()


def test_sigma_may_shrink_with_the_labeled_set() -> None:
    pool, labeled = pool_of(clusters(100)), pool_of(clusters(30, seed=2), first_id=500)
    few = order(pool, "maxherding", k=1, sigma="labeled", labeled=labeled.take(slice(0, 5)))
    many = order(pool, "maxherding", k=1, sigma="labeled", labeled=labeled)
    assert 0 < many.metadata["sigma"] < few.metadata["sigma"]
    without = order(pool, "maxherding", k=1, sigma="labeled")
    assert without.metadata["sigma_rule"] == "neighbour"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_sample_of_summands_is_naive_greedy_over_it(backend: str) -> None:
    rows = clusters(200)
    pool = pool_of(rows)
    ordering = order(pool, "maxherding", sigma=0.3, summands=50, seed=4, backend=backend)
    summed = np.argsort(np.random.default_rng([4, 1]).random(200), kind="stable")[:50]
    weights = np.zeros(200)
    weights[summed] = 1
    chosen, _ = greedy_coverage(exact_similarities(rows, 0.3), weights)
    assert ordering.sample_ids[:25].tolist() == chosen[:25]
    assert ordering.metadata["summands"] == 50


@pytest.mark.parametrize("measure", ["margin", "entropy", "least_confidence"])
def test_certain_rows_have_no_weight(measure: str) -> None:
    rows = torch.eye(4).repeat_interleave(5, dim=0)
    logits = torch.zeros(20, 3)
    logits[5:, 0] = 60.0
    pool = GradientEmbedding.from_logits(rows, logits)
    ordering = order(pool, "uherding", uncertainty=measure, sigma=0.1)
    assert list(ordering) == list(range(20))
    assert ordering.gains[0] > 0
    assert (ordering.gains[1:] < 1e-20).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pool_without_uncertain_rows_keeps_its_order(backend: str) -> None:
    logits = torch.zeros(9, 2)
    logits[:, 0] = 2_000.0
    pool = GradientEmbedding.from_logits(torch.eye(9), logits)
    ordering = order(pool, "uherding", backend=backend)
    assert list(ordering) == list(range(9))
    assert (ordering.gains == 0).all()


def test_uherding_needs_class_probabilities() -> None:
    dense = GradientEmbedding.from_dense(torch.eye(3))
    with pytest.raises(OrderingError, match="needs class probabilities"):
        order(dense, "uherding")
    assert sorted(order(dense, "maxherding")) == [0, 1, 2]


def test_the_column_for_the_bias_does_not_count() -> None:
    rows, logits = torch.as_tensor(clusters(60)), torch.randn(60, 3)
    plain, biased = (
        GradientEmbedding.from_logits(rows, logits, bias=bias) for bias in (False, True)
    )
    assert list(order(plain, "maxherding")) == list(order(biased, "maxherding"))


def test_coverage_is_not_measured() -> None:
    pool = pool_of(clusters(30))
    assert order(pool, "maxherding").coverage is None
    with pytest.raises(OrderingError, match="'maxherding' does not measure coverage"):
        LazyOrdering(pool, "maxherding").take(coverage=0.5)


@pytest.mark.parametrize("width", [1, 7, 64, 300])
def test_similarities_are_exact_to_their_unit(width: int) -> None:
    rows = np.random.default_rng(0).normal(size=(40, width)).astype(np.float32)
    rows[1] = rows[0]
    grid = on_grid(rows)
    for sigma in (0.05, 0.5, 2.0):
        found = similarities(grid, grid, falloff_of(sigma, 2.0**-25)).numpy()
        assert (np.diag(found) == ONE).all()
        assert found[0, 1] == ONE
        np.testing.assert_array_equal(found, found.T)
        assert abs(found / ONE - exact_similarities(rows, sigma)).max() < 2e-7 / sigma


def test_equal_rows_alone_are_similar_if_sigma_is_0() -> None:
    grid = on_grid(np.array([[1.0, 0.0], [1.0, 2e-7], [1.0, 0.0]]))
    found = similarities(grid, grid, falloff_of(0.0, 2.0**-25))
    assert (found == ONE).tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, True],
    ]
    assert found.unique().tolist() == [0, ONE]


def low_rank(n: int, width: int = 96, seed: int = 0) -> np.ndarray:
    """Returns rows that are near a subspace of few dimensions, as activations often are."""
    generator = np.random.default_rng(seed)
    axes = generator.normal(size=(8, width))
    rows = clusters(n, seed, width=8) @ axes + 0.05 * generator.normal(size=(n, width))
    return np.maximum(rows, 0).astype(np.float32)


@pytest.mark.parametrize("name", ["maxherding", "uherding"])
@pytest.mark.parametrize("sigma", ["neighbour", 1e-5, 3.0])
@pytest.mark.parametrize("summands", [None, 300])
def test_numba_equals_torch_on_wide_rows(name: str, sigma: object, summands: int | None) -> None:
    pool = pool_of(low_rank(900))
    arguments = {"k": 200, "sigma": sigma, "summands": summands, "seed": 2}
    found, expected = (order(pool, name, backend=it, **arguments) for it in ("numba", "torch"))
    assert list(found) == list(expected)
    np.testing.assert_array_equal(found.gains, expected.gains)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_little_memory_changes_nothing(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_badge.kernels.numba_pruned import herding as pruned

    pool = pool_of(low_rank(700))
    expected = order(pool, "maxherding", backend=backend)
    monkeypatch.setattr(kernel, "KEPT_BYTES", 700 * 4 * 20)
    monkeypatch.setattr(pruned, "KEPT", 700 * 20)
    lazy = LazyOrdering(pool, "maxherding", backend=backend)
    assert list(lazy.take()) == list(expected)
    assert lazy.counters.columns > 800  # some were computed again


@pytest.mark.parametrize(("backend", "a_rank"), [("torch", 75), ("numba", 25)])
def test_few_gains_are_evaluated(backend: str, a_rank: int) -> None:
    """A naive greedy selection evaluates 2,000 gains for each of the 500 ranks."""
    lazy = LazyOrdering(pool_of(low_rank(2_000)), "maxherding", backend=backend)
    lazy.take(500)
    counters = lazy.counters
    assert counters.evaluations < a_rank * 500
    assert counters.columns <= 2_000


def test_bounds_of_all_gains_hold_and_are_tight() -> None:
    from lightning_badge.kernels.numba_pruned.herding import PrunedHerding

    grid = on_grid(low_rank(500))
    weights = torch.randint(0, 2**19, (500,), generator=torch.Generator().manual_seed(0))
    falloff = falloff_of(0.2, 2.0**-25)
    best = similarities(grid, grid.take(slice(3)), falloff).amax(dim=1)
    arguments = grid, falloff, weights, kernel.HerdingCounters()
    exact = kernel.DenseHerding(*arguments).bounds(best)
    bounds = PrunedHerding(*arguments).bounds(best)
    assert (bounds >= exact).all()
    assert float(bounds.sum()) < 1.1 * float(exact.sum())
