import numpy as np
import pytest
import torch
from pools import make_pool

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering import LazyOrdering, Ordering, measure_coverage, order


def by_definition(pool: GradientEmbedding, ids: list) -> list[float]:
    """Returns 1 - (sum of squared distances to the nearest rank) / (scatter around the mean)."""
    dense = pool.dense().double()
    scatter = (dense - dense.mean(0)).square().sum()
    rows = [pool.sample_ids.tolist().index(sample_id) for sample_id in ids]
    distances = torch.cdist(dense, dense[rows]).square()
    unexplained = [distances[:, : rank + 1].amin(1).sum() for rank in range(len(rows))]
    return [float((1 - rest / scatter).clamp(0, 1)) for rest in unexplained]


@pytest.mark.parametrize("first_center", ["uniform", "max_norm"])
def test_coverage_is_exact_at_the_first_rank_and_at_the_end_of_blocks(first_center: str) -> None:
    pool = make_pool(400)
    lazy = LazyOrdering(pool, first_center=first_center)
    ordering = lazy.take()
    exact = np.array(by_definition(pool, list(ordering)))
    assert ordering.coverage[0] == pytest.approx(exact[0], abs=1e-6)
    assert ordering.coverage[-1] == 1.0
    hits = np.isclose(ordering.coverage, exact, atol=1e-5)
    assert hits.sum() >= lazy.counters.blocks
    assert np.abs(ordering.coverage - exact).max() < 0.1
    assert (np.diff(ordering.coverage) >= 0).all()


def test_coverage_hardly_depends_on_the_first_center() -> None:
    pool = make_pool(2000)
    curves = [order(pool, first_center=first).coverage for first in ("uniform", "max_norm")]
    assert np.abs(curves[0][200:] - curves[1][200:]).max() < 0.05


def test_a_pool_without_scatter_has_coverage_one() -> None:
    same = GradientEmbedding.from_dense(torch.ones(5, 3))
    assert order(same).coverage.tolist() == [1.0] * 5


def test_coverage_of_a_tight_cluster_far_from_the_origin_is_accurate() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = 1000 + torch.randn(300, 4, generator=generator)
    pool = GradientEmbedding.from_dense(rows)
    ordering = order(pool)
    exact = by_definition(pool, list(ordering))
    assert ordering.coverage[0] == pytest.approx(exact[0], abs=1e-3)


def test_taking_up_to_a_coverage_gives_the_shortest_prefix() -> None:
    pool = make_pool(300)
    whole = order(pool, seed=4)
    for wanted in (0.1, 0.5, 0.9, 1.0):
        part = LazyOrdering(pool, seed=4).take(coverage=wanted)
        assert list(part) == list(whole)[: len(part)]
        assert part.coverage[-1] >= wanted
        assert len(part) == 1 or part.coverage[-2] < wanted
        assert list(whole.take(coverage=wanted)) == list(part)
    assert len(whole.take(3, coverage=0.99)) == 3


def test_discarded_rows_do_not_count_for_coverage() -> None:
    pool = make_pool(60)
    lazy = LazyOrdering(pool, seed=1)
    first = lazy.take(1)
    lazy.discard(
        [sample_id for sample_id in pool.sample_ids[30:].tolist() if sample_id not in first]
    )
    kept = pool.take(slice(0, 30))
    if first.sample_ids[0] not in kept.sample_ids:
        row = pool.sample_ids.tolist().index(first.sample_ids[0])
        kept = kept.concatenate(pool.take(slice(row, row + 1)))
    rest = lazy.take()
    exact = by_definition(kept, [*first, *rest])[1:]
    assert np.isclose(rest.coverage, exact, atol=1e-5).sum() >= 3
    assert np.abs(rest.coverage - exact).max() < 0.2


def test_strategies_without_distances_have_no_coverage() -> None:
    pool = make_pool(9)
    assert order(pool, "entropy").coverage is None
    with pytest.raises(OrderingError, match="'entropy' does not measure coverage"):
        LazyOrdering(pool, "entropy").take(coverage=0.5)
    with pytest.raises(OrderingError, match="this ordering has none"):
        Ordering(np.array([1])).take(coverage=0.5)
    for wrong in (0.0, 1.5, -1.0):
        with pytest.raises(OrderingError, match="a share in"):
            LazyOrdering(pool).take(coverage=wrong)


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_coverage_of_any_ordering_can_be_measured_afterwards(backend: str) -> None:
    pool = make_pool(300)
    ordering = order(pool, "coreset", k=100)
    assert ordering.coverage is None
    measured = measure_coverage(pool, ordering, backend=backend)
    exact = by_definition(pool, list(ordering))
    ends = [0, 1, 3, 7, 15, 31, 63, 99]
    np.testing.assert_allclose(measured[ends], np.array(exact)[ends], atol=1e-5)
    between = (measured[31] + measured[63]) / 2
    assert measured[47] == pytest.approx(between, abs=1e-6)


def test_ids_outside_the_pool_are_an_error() -> None:
    with pytest.raises(OrderingError, match="ids of the pool, got 's7'; there are 5"):
        measure_coverage(make_pool(5), Ordering(np.array(["s1", "s7"])))


def test_coverage_of_an_empty_ordering_is_empty() -> None:
    assert measure_coverage(make_pool(5), Ordering(make_pool(5).sample_ids[:0])).shape == (0,)


def test_no_ranks_are_issued_after_the_coverage_is_reached_until_the_pool_changes() -> None:
    pool = make_pool(300)
    lazy = LazyOrdering(pool.take(slice(0, 200)))
    assert len(lazy.take(coverage=0.5)) > 0
    assert len(lazy.take(coverage=0.4)) == len(lazy.take(coverage=0.5)) == 0
    assert len(lazy.take(coverage=0.6)) > 0
    state = lazy.state_dict()
    other = LazyOrdering(pool.take(slice(0, 200)))
    other.load_state_dict(state)
    assert len(other.take(coverage=0.6)) == 0
    lazy.extend(pool.take(slice(200, 300)))
    assert len(lazy.take(coverage=0.6)) > 0
