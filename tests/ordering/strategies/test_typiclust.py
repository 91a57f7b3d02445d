import numpy as np
import pytest
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import LazyOrdering, Ordering, order

SIZES = (50, 30, 20)


def pool_of(rows: np.ndarray, first_id: int = 0, classes: int = 2) -> GradientEmbedding:
    logits = torch.zeros(len(rows), classes)
    ids = range(first_id, first_id + len(rows))
    return GradientEmbedding.from_logits(torch.as_tensor(rows).float(), logits, sample_ids=ids)


def groups(sizes: tuple[int, ...] = SIZES, seed: int = 0) -> np.ndarray:
    """Returns rows around orthogonal directions, the groups one after the other."""
    generator = np.random.default_rng(seed)
    means = np.eye(5).repeat([*sizes, *[0] * (5 - len(sizes))], axis=0)
    return (means + 0.05 * generator.normal(size=means.shape)).astype(np.float32)


def group_of(ordering: Ordering) -> list[int]:
    return np.searchsorted(np.cumsum(SIZES), ordering.sample_ids, side="right").tolist()


def typicality(rows: np.ndarray, group: slice) -> np.ndarray:
    """Returns typicalities from the definition, in float64."""
    rows = rows[group].astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    distance = np.sort(np.linalg.norm(rows[:, None] - rows[None], axis=2), axis=1)
    return 1 / (distance[:, 1 : min(21, len(rows))].mean(axis=1) + 1e-5)


def test_clusters_take_turns_the_largest_first_and_typical_rows_first() -> None:
    rows = groups()
    ordering = order(pool_of(rows), "typiclust", clusters=3)
    groups_in_turn = group_of(ordering)
    assert groups_in_turn[:60] == [0, 1, 2] * 20
    assert groups_in_turn[60:80] == [0, 1] * 10
    assert groups_in_turn[80:] == [0] * 20
    for group, (first, size) in enumerate(zip((0, 50, 80), SIZES, strict=True)):
        expected = typicality(rows, slice(first, first + size))
        is_here = np.array(groups_in_turn) == group
        assert (ordering.sample_ids[is_here] - first).tolist() == np.argsort(-expected).tolist()
        np.testing.assert_allclose(ordering.gains[is_here], np.sort(expected)[::-1], rtol=1e-5)
    assert ordering.metadata["clusters"] == 3


def test_clusters_with_labeled_rows_come_later() -> None:
    labeled = pool_of(groups((2, 0, 1), seed=1), first_id=500)
    ordering = order(pool_of(groups()), "typiclust", clusters=3, labeled=labeled)
    assert group_of(ordering)[:8] == [1, 1, 2, 0, 1, 2, 0, 1]


def test_clusters_stay_when_rows_are_added_or_discarded() -> None:
    lazy = LazyOrdering(pool_of(groups()), "typiclust", clusters=3)
    first = lazy.take(4)
    assert group_of(first) == [0, 1, 2, 0]
    # The third group is the largest one now, and the first one has two chosen rows.
    lazy.extend(pool_of(groups((0, 0, 60), seed=2), first_id=100))
    gone = [row for row in range(50) if row not in first.sample_ids][:5]
    lazy.discard(gone)
    rest = lazy.take()
    assert np.minimum(group_of(rest), 2).tolist()[:5] == [2, 1, 2, 0, 1]
    assert sorted([*first, *rest, *gone]) == list(range(160))
    assert rest.metadata["clusters"] == 3


@pytest.mark.parametrize(
    ("n", "classes", "labeled", "clusters"),
    [
        (400, 3, 0, 6),  # twice the classes
        (400, 3, 8, 16),  # twice the labeled rows
        (400, 3, 50, 20),  # one for 20 rows
        (15, 3, 0, 1),
    ],
)
def test_the_default_number_of_clusters(n: int, classes: int, labeled: int, clusters: int) -> None:
    generator = np.random.default_rng(0)
    pool = pool_of(generator.normal(size=(n, 5)), classes=classes)
    known = pool_of(generator.normal(size=(labeled, 5)), first_id=n, classes=classes)
    found = order(pool, "typiclust", k=1, labeled=known if labeled else None)
    assert found.metadata["clusters"] == clusters


def test_many_clusters_are_found_by_mini_batches() -> None:
    rows = np.random.default_rng(0).normal(size=(1_500, 8))
    ordering = order(pool_of(rows), "typiclust", clusters=60)
    assert sorted(ordering) == list(range(1_500))
    assert list(order(pool_of(rows), "typiclust", clusters=60, k=70)) == list(ordering)[:70]


def test_copies_are_typical_and_a_row_alone_is_not() -> None:
    rows = np.r_[np.tile(np.eye(5)[:1], (6, 1)), np.eye(5)[1:2]]
    ordering = order(pool_of(rows), "typiclust", clusters=2)
    assert list(ordering) == [0, 6, 1, 2, 3, 4, 5]
    assert ordering.gains.tolist() == pytest.approx([1e5, 0, *[1e5] * 5])


def test_more_clusters_than_rows() -> None:
    assert sorted(order(pool_of(groups((3, 2))), "typiclust", clusters=100)) == list(range(5))


def test_the_number_of_threads_changes_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(3_000, 16))
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(order(pool_of(rows), "typiclust", clusters=40))
    torch.set_num_threads(1)
    assert list(found[0]) == list(found[1])
    np.testing.assert_array_equal(found[0].gains, found[1].gains)
