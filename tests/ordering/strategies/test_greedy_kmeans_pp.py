import numpy as np
import pytest
import torch
from law import THRESHOLD, p_value
from pools import make_pool

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering, order

# Each row has several neighbours: two rows that are near each other alone would be tied.
POINTS = np.array([[1.0, 0.0], [1.9, 0.4], [1.5, 1.2], [0.9, 2.2], [0.2, 1.6], [1.0, 1.0]])


def first_rank_law(points: np.ndarray, trials: int) -> dict[tuple[int, ...], float]:
    """Returns the law of the first rank, where the origin is the only center before it."""
    mass = (points**2).sum(axis=1)
    share = mass / mass.sum()
    between = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    left = np.minimum(mass, between).sum(axis=1)
    law = {}
    for row in range(len(points)):
        at_least, more = share[left >= left[row]].sum(), share[left > left[row]].sum()
        law[(row,)] = at_least**trials - more**trials
    return law


@pytest.mark.parametrize("trials", [1, 2, 8])
def test_a_rank_is_the_best_of_several_draws(trials: int) -> None:
    pool = GradientEmbedding.from_dense(torch.from_numpy(POINTS))
    drawn = [
        tuple(order(pool, k=1, seed=seed, first_center="origin", trials=trials))
        for seed in range(400)
    ]
    assert p_value(drawn, first_rank_law(POINTS, trials)) > THRESHOLD


@pytest.mark.parametrize("backend", ["torch", "numba"])
@pytest.mark.parametrize("name", ["badge", "badge_labeled"])
def test_parts_states_and_changes_of_the_pool_hold_with_trials(backend: str, name: str) -> None:
    whole = make_pool(80)
    labeled = {"labeled": make_pool(6, seed=4, prefix="l")} if name == "badge_labeled" else {}
    arguments = {**labeled, "trials": 4, "first_center": "origin", "backend": backend, "seed": 3}
    ids = list(order(whole, name, **arguments))
    assert sorted(ids) == sorted(whole.sample_ids.tolist())
    assert list(order(whole, name, k=9, **arguments)) == ids[:9]
    lazy = LazyOrdering(whole.take(slice(0, 60)), name, **arguments)
    first = list(lazy.take(7))
    lazy.extend(whole.take(slice(60, 80)))
    state = lazy.state_dict()
    rest = list(lazy.take())
    assert sorted(first + rest) == sorted(ids)
    other = LazyOrdering(whole, name, **arguments)
    other.load_state_dict(state)
    assert list(other.take()) == rest


def test_trials_cover_more_with_fewer_ranks() -> None:
    pool = make_pool(400)
    covered = [
        np.mean([order(pool, k=20, seed=seed, trials=trials).coverage[-1] for seed in range(5)])
        for trials in (1, 8)
    ]
    assert covered[1] > covered[0] + 0.01


@pytest.mark.parametrize("name", ["badge", "coreset", "kmeans_pp_penultimate"])
def test_with_the_origin_as_center_rows_at_the_origin_come_last(name: str) -> None:
    rows = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    rows[:5] = 0
    ordering = order(GradientEmbedding.from_dense(rows), name, first_center="origin")
    assert set(ordering.sample_ids[7:].tolist()) == set(range(5))
    assert (ordering.gains[:7] > 0).all()
    assert (ordering.gains[7:] == 0).all()
