from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import BadgeError
from lightning_badge.research.viz.embedding_map import draw_embedding_map, map_embedding
from lightning_badge.viz.style import class_color

pytest.importorskip("matplotlib")


def rank_one_pool(n: int = 40, seed: int = 0) -> GradientEmbedding:
    generator = torch.Generator().manual_seed(seed)
    penultimate = torch.randn(n, 6, generator=generator, dtype=torch.float64)
    logits = 3 * torch.randn(n, 4, generator=generator, dtype=torch.float64)
    return GradientEmbedding.from_logits(penultimate, logits)


def plane(n: int, *, dimensions: int = 20, seed: int = 0) -> Tensor:
    """Returns points of a random plane, not through the origin, in many dimensions."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(dimensions, 2, generator=generator, dtype=torch.float64)).Q
    return flat @ axes.T + torch.randn(dimensions, generator=generator, dtype=torch.float64)


def distances(points: Any) -> npt.NDArray[np.float64]:
    points = torch.as_tensor(points)
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").numpy()


@pytest.mark.parametrize("landmarks", [3, 10, 60])
def test_distances_of_points_in_a_plane_are_preserved(landmarks: int) -> None:
    points = plane(60)
    embedding_map = map_embedding(GradientEmbedding.from_dense(points), landmarks=landmarks)
    np.testing.assert_allclose(
        distances(embedding_map.coordinates), distances(points), rtol=0, atol=1e-9
    )
    assert embedding_map.shown == pytest.approx(1.0)


def test_with_all_rows_as_landmarks_it_is_classical_mds() -> None:
    pool = rank_one_pool()
    dense = pool.dense()
    # By definition: coordinates on the first two principal axes of the centered rows.
    left, singular, _ = torch.linalg.svd(dense - dense.mean(dim=0), full_matrices=False)
    expected = left[:, :2] * singular[:2]
    embedding_map = map_embedding(pool, landmarks=len(pool))
    np.testing.assert_allclose(
        distances(embedding_map.coordinates), distances(expected), rtol=0, atol=1e-9
    )
    share = float((singular[:2] ** 2).sum() / (singular**2).sum())
    assert embedding_map.shown == pytest.approx(share)


def test_other_rows_are_projected_on_the_plane_of_the_landmarks() -> None:
    pool = rank_one_pool(60)
    embedding_map = map_embedding(pool, landmarks=12, seed=3)
    # de Silva & Tenenbaum, section 2.2: triangulation is projection on the landmarks' first two
    # principal axes, in any dimension. The landmarks are the first ranks.
    from lightning_badge.ordering import order

    dense = pool.dense()
    landmarks = dense[order(pool, k=12, seed=3).sample_ids]
    axes = torch.linalg.svd(landmarks - landmarks.mean(dim=0)).Vh[:2]
    np.testing.assert_allclose(
        distances(embedding_map.coordinates), distances(dense @ axes.T), rtol=0, atol=1e-9
    )


def test_a_zero_embedding_is_at_the_origin() -> None:
    points = plane(30)
    points[7] = 0.0
    coordinates = map_embedding(GradientEmbedding.from_dense(points), landmarks=10).coordinates
    np.testing.assert_allclose(coordinates[7], 0.0, atol=1e-9)


def test_the_block_size_does_not_change_the_map(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = rank_one_pool()
    whole = map_embedding(pool, landmarks=10).coordinates
    monkeypatch.setattr("lightning_badge.research.viz.embedding_map._ROW_BLOCK", 7)
    np.testing.assert_allclose(map_embedding(pool, landmarks=10).coordinates, whole, atol=1e-12)


def test_the_same_seed_gives_the_same_map() -> None:
    first, again = (map_embedding(rank_one_pool(), landmarks=8, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.coordinates, again.coordinates)


@pytest.mark.parametrize(
    ("points", "shown"),
    [
        (torch.zeros(5, 3), 1.0),
        (torch.ones(1, 3), 1.0),
        (torch.arange(6.0)[:, None] * torch.ones(1, 4), 1.0),
    ],
    ids=["equal rows", "one row", "on a line"],
)
def test_pools_of_fewer_than_two_dimensions_can_be_mapped(points: Tensor, shown: float) -> None:
    embedding_map = map_embedding(GradientEmbedding.from_dense(points.double()), landmarks=4)
    np.testing.assert_allclose(
        distances(embedding_map.coordinates), distances(points.double()), atol=1e-6
    )
    assert embedding_map.shown == pytest.approx(shown)


def test_too_few_landmarks_or_rows_are_errors() -> None:
    with pytest.raises(BadgeError, match="got 1 landmarks and 40 rows"):
        map_embedding(rank_one_pool(), landmarks=1)
    with pytest.raises(BadgeError, match="and 0 rows"):
        map_embedding(rank_one_pool().take(slice(0)))


class TestDrawing:
    places = np.random.default_rng(0).normal(size=(200, 2)) ** 3
    labels = np.arange(200) % 3

    def test_every_row_is_drawn_and_every_class_is_in_the_legend(self) -> None:
        figure = draw_embedding_map(self.places, self.labels, ["a", "b", "c"], unseen=[1])
        (axes,) = figure.axes
        points = axes.collections[0].get_offsets()
        np.testing.assert_allclose(np.sort(points, axis=0), np.sort(self.places, axis=0))
        legend = [text.get_text() for text in axes.get_legend().get_texts()]
        assert legend == ["a", "b (unseen)", "c"]

    def test_points_have_the_colours_of_their_classes(self) -> None:
        from matplotlib.colors import to_hex

        (axes,) = draw_embedding_map(self.places, self.labels, ["a", "b", "c"]).axes
        drawn = axes.collections[0]
        places = map(tuple, self.places)
        label_of = dict(zip(places, self.labels.tolist(), strict=True))
        for place, color in zip(drawn.get_offsets(), drawn.get_facecolors(), strict=True):
            assert to_hex(color) == class_color(label_of[tuple(place)])

    def test_the_circle_contains_90_per_cent_of_the_rows(self) -> None:
        (axes,) = draw_embedding_map(self.places, self.labels, ["a", "b", "c"]).axes
        (circle,) = axes.patches
        inside = np.linalg.norm(self.places, axis=1) <= circle.get_radius()
        assert inside.sum() == 180

    def test_picks_are_numbered_in_their_order(self) -> None:
        (axes,) = draw_embedding_map(self.places, self.labels, list("abc"), picks=[7, 3, 99]).axes
        texts = [text.get_text() for text in axes.texts]
        assert texts == ["90 % of the pool", "1", "2", "3"]

    def test_places_and_labels_that_do_not_fit_are_an_error(self) -> None:
        with pytest.raises(BadgeError, match=r"got \[200, 2\] and \[3\]"):
            draw_embedding_map(self.places, [0, 1, 2], ["a", "b", "c"])
