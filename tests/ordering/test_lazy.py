"""Parts, extensions and discards, for every strategy; states that go on elsewhere."""

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


def lazy(pool: GradientEmbedding, name: str, seed: int = 0, **more: object) -> LazyOrdering:
    return LazyOrdering(pool, name, seed=seed, **context_of(name, pool), **more)


def extend(walk: LazyOrdering, name: str, rows: GradientEmbedding) -> None:
    needed = context_of(name, rows)
    walk.extend(rows, **({"posterior": needed["posterior"]} if "posterior" in needed else {}))


@pytest.mark.usefixtures("either_backend")
@pytest.mark.parametrize("name", NAMES)
class TestEveryStrategy:
    @pytest.mark.parametrize("parts", [[1] * 10, [3, 1, 40, 7], [200]])
    def test_parts_joined_are_the_ordering(self, name: str, parts: list[int]) -> None:
        pool = make_pool(120)
        whole = order(pool, name, seed=5, **context_of(name, pool))
        walk = lazy(pool, name, seed=5)
        taken = [walk.take(part) for part in parts]
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

    def test_a_pool_that_grows_before_the_first_part_is_one_pool(self, name: str) -> None:
        whole = make_pool(50)
        walk = lazy(whole.take(slice(0, 20)), name)
        extend(walk, name, whole.take(slice(20, 50)))
        assert list(walk.take()) == list(order(whole, name, **context_of(name, whole)))

    def test_after_an_extension_every_row_comes_once(self, name: str) -> None:
        whole = make_pool(90)
        walk = lazy(whole.take(slice(0, 60)), name)
        first = list(walk.take(25))
        extend(walk, name, whole.take(slice(60, 90)))
        assert len(walk) == 65
        assert sorted(first + list(walk.take())) == sorted(whole.sample_ids.tolist())

    def test_an_extension_after_the_end_goes_on(self, name: str) -> None:
        whole = make_pool(30)
        walk = lazy(whole.take(slice(0, 20)), name)
        walk.take()
        assert len(walk.take(3)) == 0
        extend(walk, name, whole.take(slice(20, 30)))
        assert sorted(walk.take()) == sorted(whole.sample_ids[20:].tolist())

    @pytest.mark.parametrize("taken", [0, 1, 17])
    def test_discarded_rows_never_come(self, name: str, taken: int) -> None:
        pool = make_pool(60)
        walk = lazy(pool, name)
        first = list(walk.take(taken)) if taken else []
        gone = [sample_id for sample_id in pool.sample_ids.tolist() if sample_id not in first][::3]
        walk.discard(gone)
        rest = list(walk.take())
        assert not set(rest) & set(gone)
        assert sorted(first + rest + gone) == sorted(pool.sample_ids.tolist())

    def test_a_state_goes_on_identically_in_another_ordering(self, name: str) -> None:
        whole = make_pool(200)
        walk = lazy(whole.take(slice(0, 150)), name)
        walk.take(33)
        extend(walk, name, whole.take(slice(150, 200)))
        walk.discard([next(i for i in whole.sample_ids.tolist() if not walk.has_issued(i))])
        walk.take(20)
        saved = io.BytesIO()
        torch.save(walk.state_dict(), saved)
        rest = walk.take()
        saved.seek(0)
        other = lazy(whole, name)
        other.load_state_dict(torch.load(saved, weights_only=True))
        again = other.take()
        assert list(again) == list(rest)
        np.testing.assert_array_equal(again.gains, rest.gains)

    def test_a_state_is_not_changed_by_whoever_was_taken_from_or_loads_it(self, name: str) -> None:
        pool = make_pool(80)
        walk = lazy(pool, name)
        walk.take(9)
        state = walk.state_dict()
        rest = list(walk.take())
        for _ in range(2):
            other = lazy(pool, name)
            other.load_state_dict(state)
            assert list(other.take()) == rest

    def test_the_same_rows_in_another_order_are_another_pool(self, name: str) -> None:
        pool = make_pool(12)
        state = lazy(pool, name).state_dict()
        turned = pool.take(slice(6, 12)).concatenate(pool.take(slice(0, 6)))
        with pytest.raises(OrderingError, match="fingerprint: expected"):
            lazy(turned, name).load_state_dict(state)

    def test_a_state_of_another_ordering_is_refused(self, name: str) -> None:
        state = lazy(make_pool(9), name).state_dict()
        with pytest.raises(OrderingError, match="seed: expected 0"):
            lazy(make_pool(9), name, seed=1).load_state_dict(state)
        with pytest.raises(OrderingError, match="fingerprint: expected"):
            lazy(make_pool(8), name).load_state_dict(state)

    def test_other_activations_under_the_same_ids_are_another_pool(self, name: str) -> None:
        pool, other = make_pool(12), make_pool(12, seed=1)
        walk = lazy(pool, name)
        walk.take(3)
        with pytest.raises(OrderingError, match="content: expected"):
            lazy(other, name).load_state_dict(walk.state_dict())

    @pytest.mark.parametrize("missing", ["selector", "n_issued", "content", "seed"])
    def test_a_state_without_one_of_its_keys_is_refused(self, name: str, missing: str) -> None:
        walk = lazy(make_pool(12), name)
        walk.take(3)
        state = walk.state_dict()
        del state[missing]
        with pytest.raises(OrderingError, match="state: expected a result of state_dict"):
            lazy(make_pool(12), name).load_state_dict(state)

    def test_a_state_that_contradicts_itself_is_refused_and_changes_nothing(self, name) -> None:
        pool = make_pool(30)
        walk = lazy(pool, name)
        walk.take(7)
        wrong = [walk.state_dict() for _ in range(4)]
        wrong[0]["n_issued"] = 8
        wrong[1]["selector"]["members"]["status"] = torch.zeros(9, dtype=torch.int8)
        del wrong[2]["selector"]["pool"]
        wrong[3]["selector"]["members"]["status"] += 3
        for state in wrong:
            with pytest.raises(OrderingError, match="state: "):
                walk.load_state_dict(state)
        assert len(walk) == 23
        assert list(walk.take()) == list(order(pool, name, **context_of(name, pool)))[7:]

    def test_a_change_of_the_pool_drops_what_was_not_issued(self, name: str) -> None:
        pool = make_pool(200)
        walk = lazy(pool, name)
        first = list(walk.take(60))
        before = len(walk)
        gone = next(i for i in pool.sample_ids.tolist() if not walk.has_issued(i))
        walk.discard([gone])
        assert len(walk) == before - 1
        assert sorted([*first, gone, *walk.take()]) == sorted(pool.sample_ids.tolist())

    def test_rows_that_are_known_or_unlike_are_refused(self, name: str) -> None:
        walk = lazy(make_pool(9), name)
        with pytest.raises(EmbeddingError, match="'s0'"):
            extend(walk, name, make_pool(1))
        with pytest.raises(EmbeddingError, match="classes, width"):
            extend(walk, name, make_pool(1, classes=7, prefix="t"))

    def test_only_what_can_go_is_discarded(self, name: str) -> None:
        walk = lazy(make_pool(9), name)
        issued = next(iter(walk))
        for wrong in ("nobody", issued):
            with pytest.raises(OrderingError, match=f"not issued, got '{wrong}'"):
                walk.discard([wrong])
        assert len(walk) == 8


def test_a_lazy_ordering_computes_only_the_blocks_it_needs() -> None:
    walk = LazyOrdering(make_pool(3000))
    walk.take(10)
    few = walk.counters.pairs
    walk.take(500)
    assert few < 3000 * 40 < walk.counters.pairs


def test_gains_after_an_extension_are_distances_to_all_ranks_before() -> None:
    whole = make_pool(90)
    walk = LazyOrdering(whole.take(slice(0, 60)), seed=2)
    parts = [walk.take(25)]
    walk.extend(whole.take(slice(60, 90)))
    parts.append(walk.take())
    ids = [sample_id for part in parts for sample_id in part]
    rows = [whole.sample_ids.tolist().index(sample_id) for sample_id in ids]
    dense = whole.dense().double()[rows]
    distances = torch.cdist(dense, dense).square()
    gains = np.concatenate([part.gains for part in parts])
    for rank in range(1, 90):
        assert gains[rank] == pytest.approx(float(distances[rank, :rank].min()), rel=1e-4)


def test_a_grown_pool_keeps_its_back_end_in_the_state() -> None:
    whole = make_pool(4200)
    walk = LazyOrdering(whole.take(slice(0, 4000)))
    walk.take(50)
    walk.extend(whole.take(slice(4000, 4200)))
    state = walk.state_dict()
    rest = walk.take(300)
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


def test_after_an_extension_the_rows_are_held_once() -> None:
    whole = make_pool(60)
    rows = np.random.default_rng(0).random((40, 6), dtype=np.float32)
    memory = weakref.ref(rows)
    walk = LazyOrdering(
        GradientEmbedding.from_logits(
            torch.from_numpy(rows), torch.eye(4).repeat(10, 1), sample_ids=whole.sample_ids[:40]
        )
    )
    del rows
    walk.take(5)
    walk.extend(whole.take(slice(40, 60)))
    engine = walk._selector._engine
    assert engine.rows.penultimate.data_ptr() == walk._embedding.penultimate.data_ptr()
    assert engine.rows.logit_grad.data_ptr() == walk._embedding.logit_grad.data_ptr()
    assert memory() is None, "nobody holds the rows of the smaller pool"


def test_a_labeled_set_of_another_head_is_refused() -> None:
    with pytest.raises(EmbeddingError, match="as in the pool"):
        LazyOrdering(make_pool(9), "badge_labeled", labeled=make_pool(3, classes=7, prefix="l"))


def test_a_confident_pool_is_ordered_to_its_end() -> None:
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
def test_a_seed_that_is_no_natural_number_is_refused(seed: object) -> None:
    with pytest.raises(OrderingError, match="seed: expected an integer of 0 or more"):
        LazyOrdering(make_pool(3), seed=seed)


def mirrored(n: int, *, turned: bool) -> GradientEmbedding:
    """Two classes: with logits exchanged and activations negated the embeddings are the same."""
    generator = torch.Generator().manual_seed(0)
    activations = 1 + torch.rand(n, 6, generator=generator)
    logits = torch.randn(n, 2, generator=generator)
    ids = [f"{'t' if turned else 's'}{row}" for row in range(n)]
    if turned:
        activations, logits = -activations, logits.flip(1)
    return GradientEmbedding.from_logits(activations, logits, sample_ids=ids)


@pytest.mark.parametrize("backend", ["torch", "numba"])
class TestActivationsOfOtherSign:
    @pytest.fixture(autouse=True)
    def _always_prune(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(numba_pruned, "PRUNE_BELOW", 1.0)

    def test_rows_that_arrive_meet_the_centers_on_the_other_side(self, backend: str) -> None:
        walk = LazyOrdering(mirrored(100, turned=False), backend=backend)
        walk.take()
        walk.extend(mirrored(100, turned=True))
        np.testing.assert_array_equal(walk.take().gains, np.zeros(100))

    def test_a_pool_meets_the_labeled_set_on_the_other_side(self, backend: str) -> None:
        labeled = mirrored(100, turned=True)
        walk = LazyOrdering(
            mirrored(100, turned=False), "badge_labeled", labeled=labeled, backend=backend
        )
        np.testing.assert_array_equal(walk.take().gains, np.zeros(100))
