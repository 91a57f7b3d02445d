"""Parts, extensions and discards for every strategy, and saved states."""

import io
import weakref

import numpy as np
import pytest
import torch
from pools import context_of, make_pool

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import EmbeddingError, OrderingError
from lightning_badge.kernels import numba_pruned
from lightning_badge.ordering import STRATEGIES, LazyOrdering, order

NAMES = sorted(STRATEGIES)
# With random draws at each rank, so that ranks after published ones are drawn anew.
DRAWS = {"badge", "badge_labeled", "batchbald", "kmeans_pp_penultimate", "random"}


def lazy(pool: GradientEmbedding, name: str, seed: int = 0, **more: object) -> LazyOrdering:
    return LazyOrdering(pool, name, seed=seed, **context_of(name, pool), **more)


def extend(ordering: LazyOrdering, name: str, rows: GradientEmbedding) -> None:
    needed = context_of(name, rows)
    ordering.extend(rows, **({"posterior": needed["posterior"]} if "posterior" in needed else {}))


@pytest.mark.usefixtures("either_backend")
@pytest.mark.parametrize("name", NAMES)
class TestEveryStrategy:
    @pytest.mark.parametrize("parts", [[1] * 10, [3, 1, 40, 7], [200]])
    def test_concatenated_parts_equal_the_ordering(self, name: str, parts: list[int]) -> None:
        pool = make_pool(120)
        whole = order(pool, name, seed=5, **context_of(name, pool))
        ordering = lazy(pool, name, seed=5)
        taken = [ordering.take(part) for part in parts]
        ids = [sample_id for part in taken for sample_id in part]
        assert ids == whole.sample_ids[: len(ids)].tolist()
        gains = np.concatenate([part.gains for part in taken])
        np.testing.assert_array_equal(gains, whole.gains[: len(ids)])
        assert [part.metadata["first_rank"] for part in taken] == [
            min(sum(parts[:i]), 120) for i in range(len(parts))
        ]

    def test_iteration_yields_one_id_at_a_time(self, name: str) -> None:
        pool = make_pool(30)
        assert list(lazy(pool, name)) == list(order(pool, name, **context_of(name, pool)))

    def test_extending_before_the_first_part_equals_the_whole_pool(self, name: str) -> None:
        whole = make_pool(50)
        ordering = lazy(whole.take(slice(0, 20)), name)
        extend(ordering, name, whole.take(slice(20, 50)))
        assert list(ordering.take()) == list(order(whole, name, **context_of(name, whole)))

    def test_after_an_extension_every_row_is_issued_once(self, name: str) -> None:
        whole = make_pool(90)
        ordering = lazy(whole.take(slice(0, 60)), name)
        first = list(ordering.take(25))
        extend(ordering, name, whole.take(slice(60, 90)))
        assert len(ordering) == 65
        assert sorted(first + list(ordering.take())) == sorted(whole.sample_ids.tolist())

    def test_an_extension_after_the_end_is_ordered(self, name: str) -> None:
        whole = make_pool(30)
        ordering = lazy(whole.take(slice(0, 20)), name)
        ordering.take()
        assert len(ordering.take(3)) == 0
        extend(ordering, name, whole.take(slice(20, 30)))
        assert sorted(ordering.take()) == sorted(whole.sample_ids[20:].tolist())

    @pytest.mark.parametrize("taken", [0, 1, 17])
    def test_discarded_rows_are_never_issued(self, name: str, taken: int) -> None:
        pool = make_pool(60)
        ordering = lazy(pool, name)
        first = list(ordering.take(taken)) if taken else []
        discarded = [sample_id for sample_id in pool.sample_ids.tolist() if sample_id not in first][
            ::3
        ]
        ordering.discard(discarded)
        rest = list(ordering.take())
        assert not set(rest) & set(discarded)
        assert sorted(first + rest + discarded) == sorted(pool.sample_ids.tolist())

    @pytest.mark.parametrize("taken", [0, 1, 17])
    def test_published_rows_count_as_issued(self, name: str, taken: int) -> None:
        pool = make_pool(60)
        ordering = lazy(pool, name)
        first = list(ordering.take(taken)) if taken else []
        published = [key for key in pool.sample_ids.tolist() if key not in first][::3]
        ordering.publish(published)
        assert all(map(ordering.has_issued, published))
        rest = ordering.take()
        assert rest.metadata["first_rank"] == len(first) + len(published)
        assert rest.metadata["n_pool"] == 60
        assert sorted(first + published + list(rest)) == sorted(pool.sample_ids.tolist())
        with pytest.raises(OrderingError, match="publish"):
            ordering.publish(published[:1])

    def test_what_follows_a_published_prefix_is_what_followed_it(self, name: str) -> None:
        if name in DRAWS:
            pytest.skip("each rank is a draw")
        pool = make_pool(60)
        whole = list(order(pool, name, **context_of(name, pool)))
        ordering = lazy(pool, name)
        ordering.publish(whole[:20])
        assert list(ordering.take()) == whole[20:]
        ordering = lazy(pool, name)
        begun = list(ordering.take(5))
        ordering.publish(whole[5:20])
        assert begun + list(ordering.take()) == whole[:5] + whole[20:]

    def test_a_restored_state_continues_identically(self, name: str) -> None:
        whole = make_pool(200)
        ordering = lazy(whole.take(slice(0, 150)), name)
        ordering.take(33)
        extend(ordering, name, whole.take(slice(150, 200)))
        ordering.discard([next(i for i in whole.sample_ids.tolist() if not ordering.has_issued(i))])
        ordering.take(20)
        saved = io.BytesIO()
        torch.save(ordering.state_dict(), saved)
        rest = ordering.take()
        saved.seek(0)
        other = lazy(whole, name)
        other.load_state_dict(torch.load(saved, weights_only=True))
        again = other.take()
        assert list(again) == list(rest)
        np.testing.assert_array_equal(again.gains, rest.gains)

    def test_a_state_shares_no_memory_with_its_orderings(self, name: str) -> None:
        pool = make_pool(80)
        ordering = lazy(pool, name)
        ordering.take(9)
        state = ordering.state_dict()
        rest = list(ordering.take())
        for _ in range(2):
            other = lazy(pool, name)
            other.load_state_dict(state)
            assert list(other.take()) == rest

    def test_a_state_of_rows_in_another_order_is_refused(self, name: str) -> None:
        pool = make_pool(12)
        state = lazy(pool, name).state_dict()
        mirror_image = pool.take(slice(6, 12)).concatenate(pool.take(slice(0, 6)))
        with pytest.raises(OrderingError, match="fingerprint: expected"):
            lazy(mirror_image, name).load_state_dict(state)

    def test_a_state_of_another_ordering_is_refused(self, name: str) -> None:
        state = lazy(make_pool(9), name).state_dict()
        with pytest.raises(OrderingError, match="seed: expected 0"):
            lazy(make_pool(9), name, seed=1).load_state_dict(state)
        with pytest.raises(OrderingError, match="fingerprint: expected"):
            lazy(make_pool(8), name).load_state_dict(state)

    def test_a_state_of_other_activations_is_refused(self, name: str) -> None:
        pool, other = make_pool(12), make_pool(12, seed=1)
        ordering = lazy(pool, name)
        ordering.take(3)
        with pytest.raises(OrderingError, match="content: expected"):
            lazy(other, name).load_state_dict(ordering.state_dict())

    @pytest.mark.parametrize("missing", ["selector", "n_issued", "content", "seed"])
    def test_a_state_without_one_of_its_keys_is_refused(self, name: str, missing: str) -> None:
        ordering = lazy(make_pool(12), name)
        ordering.take(3)
        state = ordering.state_dict()
        del state[missing]
        with pytest.raises(OrderingError, match="state: expected a result of state_dict"):
            lazy(make_pool(12), name).load_state_dict(state)

    def test_an_inconsistent_state_is_refused_and_changes_nothing(self, name) -> None:
        pool = make_pool(30)
        ordering = lazy(pool, name)
        ordering.take(7)
        wrong = [ordering.state_dict() for _ in range(4)]
        wrong[0]["n_issued"] = 8
        wrong[1]["selector"]["members"]["status"] = torch.zeros(9, dtype=torch.int8)
        del wrong[2]["selector"]["pool"]
        wrong[3]["selector"]["members"]["status"] += 3
        for state in wrong:
            with pytest.raises(OrderingError, match="state: "):
                ordering.load_state_dict(state)
        assert len(ordering) == 23
        assert list(ordering.take()) == list(order(pool, name, **context_of(name, pool)))[7:]

    def test_a_discard_drops_the_pending_ranks(self, name: str) -> None:
        pool = make_pool(200)
        ordering = lazy(pool, name)
        first = list(ordering.take(60))
        before = len(ordering)
        discarded = next(i for i in pool.sample_ids.tolist() if not ordering.has_issued(i))
        ordering.discard([discarded])
        assert len(ordering) == before - 1
        assert sorted([*first, discarded, *ordering.take()]) == sorted(pool.sample_ids.tolist())

    def test_rows_with_known_ids_or_another_shape_are_refused(self, name: str) -> None:
        ordering = lazy(make_pool(9), name)
        with pytest.raises(EmbeddingError, match="'s0'"):
            extend(ordering, name, make_pool(1))
        with pytest.raises(EmbeddingError, match="classes, width"):
            extend(ordering, name, make_pool(1, classes=7, prefix="t"))

    def test_unknown_and_issued_rows_cannot_be_discarded(self, name: str) -> None:
        ordering = lazy(make_pool(9), name)
        issued = next(iter(ordering))
        for wrong in ("nobody", issued):
            with pytest.raises(OrderingError, match=f"not issued, got '{wrong}'"):
                ordering.discard([wrong])
        assert len(ordering) == 8


@pytest.mark.parametrize("backend", ["torch", "numba"])
def test_published_rows_are_centers_as_labeled_rows_are(backend: str) -> None:
    pool = make_pool(90)
    labeled = LazyOrdering(
        pool.take(slice(10, 90)), "badge_labeled", labeled=pool.take(slice(0, 10)), backend=backend
    )
    ordering = LazyOrdering(pool, "badge", backend=backend)
    ordering.publish(pool.sample_ids[:10].tolist())
    assert list(ordering.take()) == list(labeled.take())


def test_a_lazy_ordering_computes_only_the_blocks_it_needs() -> None:
    ordering = LazyOrdering(make_pool(3000))
    ordering.take(10)
    few = ordering.counters.pairs
    ordering.take(500)
    assert few < 3000 * 40 < ordering.counters.pairs


def test_gains_after_an_extension_are_distances_to_all_ranks_before() -> None:
    whole = make_pool(90)
    ordering = LazyOrdering(whole.take(slice(0, 60)), seed=2)
    parts = [ordering.take(25)]
    ordering.extend(whole.take(slice(60, 90)))
    parts.append(ordering.take())
    ids = [sample_id for part in parts for sample_id in part]
    rows = [whole.sample_ids.tolist().index(sample_id) for sample_id in ids]
    dense = whole.dense().double()[rows]
    distances = torch.cdist(dense, dense).square()
    gains = np.concatenate([part.gains for part in parts])
    for rank in range(1, 90):
        assert gains[rank] == pytest.approx(float(distances[rank, :rank].min()), rel=1e-4)


def test_a_grown_pool_keeps_its_back_end_in_the_state() -> None:
    whole = make_pool(4200)
    ordering = LazyOrdering(whole.take(slice(0, 4000)))
    ordering.take(50)
    ordering.extend(whole.take(slice(4000, 4200)))
    state = ordering.state_dict()
    rest = ordering.take(300)
    other = LazyOrdering(whole)
    other.load_state_dict(state)
    again = other.take(300)
    assert list(again) == list(rest)
    assert again.metadata["backend"] == rest.metadata["backend"] == "torch"


@pytest.mark.parametrize("backend", ["torch", "numba", "reference"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_saturated_model_gives_a_shuffle(backend: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 800 * torch.eye(2, dtype=dtype)[torch.arange(9) % 2]
    activations = 4 * torch.randn(9, 8, generator=generator).to(dtype)
    ordering = order(GradientEmbedding.from_logits(activations, logits), backend=backend)
    assert sorted(ordering) == list(range(9))
    assert (ordering.gains[1:] == 0).all()


def test_after_an_extension_memory_holds_the_rows_once() -> None:
    whole = make_pool(60)
    rows = np.random.default_rng(0).random((40, 6), dtype=np.float32)
    memory = weakref.ref(rows)
    ordering = LazyOrdering(
        GradientEmbedding.from_logits(
            torch.from_numpy(rows), torch.eye(4).repeat(10, 1), sample_ids=whole.sample_ids[:40]
        )
    )
    del rows
    ordering.take(5)
    ordering.extend(whole.take(slice(40, 60)))
    engine = ordering._selector._engine
    assert engine.rows.penultimate.data_ptr() == ordering._embedding.penultimate.data_ptr()
    assert engine.rows.logit_grad.data_ptr() == ordering._embedding.logit_grad.data_ptr()
    assert memory() is None, "something still references the rows of the smaller pool"


def test_a_labeled_set_of_another_head_is_refused() -> None:
    with pytest.raises(EmbeddingError, match="as in the pool"):
        LazyOrdering(make_pool(9), "badge_labeled", labeled=make_pool(3, classes=7, prefix="l"))


def test_a_confident_pool_is_ordered_completely() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(600, 5, generator=generator)
    logits[:, 0] += 90 * torch.rand(600, generator=generator)
    pool = GradientEmbedding.from_logits(torch.rand(600, 8, generator=generator), logits)
    for backend in ("torch", "numba"):
        assert sorted(LazyOrdering(pool, backend=backend)) == list(range(600))


def test_rows_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(EmbeddingError, match="too large to be squared"):
        GradientEmbedding.from_dense(torch.full((3, 2), 1e200, dtype=torch.float64))


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_a_seed_must_be_an_integer_of_zero_or_more(seed: object) -> None:
    with pytest.raises(OrderingError, match="seed: expected an integer of 0 or more"):
        LazyOrdering(make_pool(3), seed=seed)


def two_class_pool(n: int, *, mirror_image: bool) -> GradientEmbedding:
    """Returns a pool of two classes; its mirror image has the same embeddings.

    The mirror image exchanges the logits and negates the activations.
    """
    generator = torch.Generator().manual_seed(0)
    activations = 1 + torch.rand(n, 6, generator=generator)
    logits = torch.randn(n, 2, generator=generator)
    ids = [f"{'t' if mirror_image else 's'}{row}" for row in range(n)]
    if mirror_image:
        activations, logits = -activations, logits.flip(1)
    return GradientEmbedding.from_logits(activations, logits, sample_ids=ids)


@pytest.mark.parametrize("backend", ["torch", "numba"])
class TestActivationsOfOtherSign:
    @pytest.fixture(autouse=True)
    def _always_prune(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(numba_pruned, "PRUNE_BELOW", 1.0)

    def test_added_rows_are_compared_with_centers_of_the_other_sign(self, backend: str) -> None:
        ordering = LazyOrdering(two_class_pool(100, mirror_image=False), backend=backend)
        ordering.take()
        ordering.extend(two_class_pool(100, mirror_image=True))
        np.testing.assert_array_equal(ordering.take().gains, np.zeros(100))

    def test_a_pool_is_compared_with_labeled_rows_of_the_other_sign(self, backend: str) -> None:
        labeled = two_class_pool(100, mirror_image=True)
        ordering = LazyOrdering(
            two_class_pool(100, mirror_image=False),
            "badge_labeled",
            labeled=labeled,
            backend=backend,
        )
        np.testing.assert_array_equal(ordering.take().gains, np.zeros(100))
