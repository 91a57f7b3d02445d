import numpy as np

from lightning_badge.research.viz.placement import apart, outermost


def test_crowded_points_are_separated_and_isolated_ones_do_not_move() -> None:
    crowd = np.random.default_rng(0).normal(size=(12, 2))
    places = np.concatenate([crowd, [[50.0, 50.0]]])
    moved = apart(places, 2.0)
    gaps = np.linalg.norm(moved[:, None] - moved[None], axis=2) + 9 * np.eye(len(moved))
    assert gaps.min() > 1.9
    assert moved[-1].tolist() == [50.0, 50.0]


def test_equal_points_are_separated() -> None:
    moved = apart(np.zeros((3, 2)), 1.0)
    gaps = np.linalg.norm(moved[:, None] - moved[None], axis=2) + 9 * np.eye(3)
    assert gaps.min() > 0.9


def test_only_outer_rows_are_named_one_per_grid_cell() -> None:
    ring = 10 * np.stack([np.cos(np.arange(300)), np.sin(np.arange(300))], axis=1)
    places = np.concatenate([np.zeros((500, 2)), ring])
    named = outermost(places)
    assert named.min() >= 500
    assert 20 < len(named) < 100


def test_if_all_rows_are_equal_none_is_named() -> None:
    assert len(outermost(np.zeros((5, 2)))) == 0
