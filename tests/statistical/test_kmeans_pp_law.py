"""The ordering follows the law of sequential k-means++, which tiny pools allow to enumerate."""

import itertools

import numpy as np
import pytest
import torch
from law import DRAWS, POOLS, THRESHOLD, kmeans_pp_law, p_value

from lightning_badge.ordering import kmeans_pp


def test_the_enumerated_law_is_a_probability() -> None:
    for points in POOLS.values():
        assert sum(kmeans_pp_law(points).values()) == pytest.approx(1.0)


def test_the_law_of_three_points_on_a_line_by_hand() -> None:
    law = kmeans_pp_law(np.array([[0.0], [1.0], [3.0]]))
    assert law[(0, 1, 2)] == pytest.approx(1 / 3 * 1 / 10)
    assert law[(1, 2, 0)] == pytest.approx(1 / 3 * 4 / 5)


@pytest.mark.parametrize("name", ["copies", "scales"])
def test_full_orderings_follow_the_law(name: str) -> None:
    points = POOLS[name]
    rows = torch.from_numpy(points)
    draws = [tuple(kmeans_pp(rows, seed=seed).tolist()) for seed in range(DRAWS)]
    assert p_value(draws, kmeans_pp_law(points)) > THRESHOLD


def test_a_wrong_law_is_noticed() -> None:
    points = POOLS["square"]
    rng = np.random.default_rng(0)
    shuffles = [tuple(rng.permutation(len(points)).tolist()) for _ in range(DRAWS)]
    uniform = dict.fromkeys(itertools.permutations(range(6)), 1 / 720)
    assert p_value(shuffles, uniform) > THRESHOLD
    assert p_value(shuffles, kmeans_pp_law(points)) < THRESHOLD
