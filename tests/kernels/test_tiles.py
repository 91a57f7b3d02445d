"""Rows in tiles, as numba has them in large pools: other costs, the same ranks."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Factors, numba_pruned
from lightning_badge.ordering import LazyOrdering

pytest.importorskip("numba")
from lightning_badge.kernels.numba_pruned import tile_update
from lightning_badge.kernels.numba_pruned.row_tiles import TILE, row_tiles
from lightning_badge.kernels.numba_pruned.shadows import STEPS, Shadows

N, H, C = 900, 40, 5


def pool(
    n: int = N, h: int = H, c: int = C, seed: int = 0, dtype: torch.dtype = torch.float32
) -> GradientEmbedding:
    """Returns rows around one center per class, with activations of a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(c, h, generator=generator)
    label = torch.randint(c, (n,), generator=generator)
    rows = (0.5 * torch.randn(n, h, generator=generator) + means[label]).relu()
    return GradientEmbedding.from_logits(rows.to(dtype), (rows @ means.T / h**0.5 * 4).to(dtype))


def changed(change: Callable[[torch.Tensor], torch.Tensor], seed: int = 1) -> GradientEmbedding:
    rows = pool(seed=seed)
    logits = torch.randn(N, C, generator=torch.Generator().manual_seed(seed)) * 4
    return GradientEmbedding.from_logits(change(rows.penultimate), logits)


def mirrored() -> GradientEmbedding:
    """Returns rows whose nearest center often has the opposite activations and gradient."""
    generator = torch.Generator().manual_seed(6)
    rows = (
        0.1 * torch.randn(N, H, generator=generator) + torch.rand(H, generator=generator)
    ).relu()
    logits = 2 * torch.rand(N, 1, generator=generator) * torch.tensor([1.0, -1.0])
    sign = 1 - 2 * (torch.arange(N) % 2)[:, None]
    return GradientEmbedding.from_logits(sign * rows, sign * logits)


def mixed_scales(rows: torch.Tensor) -> torch.Tensor:
    return rows * torch.logspace(-8, 8, len(rows))[torch.randperm(len(rows)), None]


POOLS: dict[str, Callable[[], GradientEmbedding]] = {
    "classes": pool,
    "two classes": lambda: pool(c=2, seed=2),
    "many classes": lambda: pool(c=60, seed=3),
    "narrow": lambda: pool(h=6, seed=4),
    "signed": lambda: changed(lambda rows: rows - rows.mean()),
    "mirrored": mirrored,
    "copies": lambda: changed(lambda rows: rows[torch.arange(N) % 300]),
    "zeros": lambda: changed(lambda rows: rows * (torch.arange(N) % 3 > 0)[:, None]),
    "tiny": lambda: changed(lambda rows: rows * 1e-18),
    "huge": lambda: changed(lambda rows: rows * 1e12),
    "mixed scales": lambda: changed(mixed_scales),
}


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], list[int]]:
    """Returns what turns tiles on or off, and returns the numbers of rows that were updated."""
    monkeypatch.setattr(numba_pruned, "PRUNE_BELOW", 1.0)
    monkeypatch.setattr(numba_pruned, "TILED_POOL", 0)
    original = tile_update.update

    def turn(on: bool) -> list[int]:
        seen: list[int] = []

        def update(known: Any, *arguments: Any, **more: Any) -> int:
            seen.append(len(known))
            return original(known, *arguments, **more)

        monkeypatch.setattr(tile_update, "update", update)
        monkeypatch.setattr(numba_pruned, "TILED_FROM", 100 if on else 1 << 60)
        return seen

    return turn


def ranks(ordering: LazyOrdering, k: int | None = None) -> tuple[list[Any], bytes]:
    found = ordering.take(k)
    return list(found.sample_ids), np.asarray(found.gains).tobytes()


STRATEGIES = ["badge", "badge_labeled", "kmeans_pp_penultimate"]


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_orderings_are_the_same_with_tiles_and_without(
    name: str, strategy: str, tiles: Callable[[bool], list[int]]
) -> None:
    torch.manual_seed(0)
    check_same(POOLS[name](), strategy, tiles)


@pytest.mark.long  # compiles everything once more
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_orderings_in_float64_are_the_same(
    strategy: str, tiles: Callable[[bool], list[int]]
) -> None:
    check_same(pool(dtype=torch.float64), strategy, tiles)


def check_same(
    embedding: GradientEmbedding, strategy: str, tiles: Callable[[bool], list[int]]
) -> None:
    more = {"labeled": embedding.take(np.arange(40))} if strategy == "badge_labeled" else {}

    def whole() -> list[Any]:
        lazy = LazyOrdering(embedding, strategy, backend="numba", seed=1, **more)
        return [ranks(lazy), lazy.counters.pairs]

    seen = tiles(True)
    found = whole()
    assert seen
    unseen = tiles(False)
    assert found == whole()
    assert not unseen


def test_rows_that_come_and_go_do_not_change_that(tiles: Callable[[bool], list[int]]) -> None:
    def story() -> list[Any]:
        lazy = LazyOrdering(pool(), backend="numba", seed=3)
        first = ranks(lazy, 200)
        lazy.discard([row for row in range(N) if row not in first[0]][:100])
        new, ids = pool(500, seed=8).penultimate, np.arange(10**6, 10**6 + 500)
        lazy.extend(GradientEmbedding.from_logits(new, new[:, :C], sample_ids=ids))
        return [first, ranks(lazy, 300), ranks(lazy)]

    tiles(True)
    found = story()
    tiles(False)
    assert found == story()


def test_tiles_multiply_fewer_pairs(tiles: Callable[[bool], list[int]]) -> None:
    generator = torch.Generator().manual_seed(5)
    means, label = torch.randn(C, 160, generator=generator), torch.arange(4000) % C
    plane = torch.randn(4000, 6, generator=generator) @ torch.randn(6, 160, generator=generator)
    noise = 0.05 * torch.randn(4000, 160, generator=generator)
    rows = (plane / 6**0.5 + means[label] + noise).relu()
    embedding = GradientEmbedding.from_logits(rows, rows @ means.T / 6)

    def work() -> tuple[int, int]:
        lazy = LazyOrdering(embedding, backend="numba", seed=1)
        lazy.take()
        return lazy.counters.multiplied, lazy.counters.pairs

    tiles(True)
    few, pairs = work()
    tiles(False)
    many, same = work()
    assert pairs == same
    assert few < many / 3
    assert few < 0.005 * pairs


def test_every_row_is_in_one_tile_of_its_kind() -> None:
    rows = pool().factors
    zero = Factors.of(rows.logit_grad, rows.penultimate * (torch.arange(N) % 7 > 0)[:, None])
    found = row_tiles(zero, torch.arange(N))
    assert sorted(found.slots.tolist()) == list(range(N))
    kinds = zero.logit_grad.argmin(1) * C + zero.logit_grad.argmax(1)
    norms = zero.sq_norm.sqrt()
    for tile, (start, stop) in enumerate(zip(found.starts[:-1], found.starts[1:], strict=True)):
        members = torch.from_numpy(found.slots[start:stop])
        assert 0 < len(members) <= TILE
        assert len(kinds[members].unique()) == 1
        ends = [float(norms[members].min()), float(norms[members].max())]
        assert found.norms[tile] == pytest.approx(ends)
    rest = torch.from_numpy(found.slots[found.starts[-1] :])
    assert len(rest) == (zero.sq_norm == 0).sum() == (norms[rest] == 0).sum()


@pytest.mark.parametrize("name", POOLS)
def test_a_shadow_bounds_the_cosine_of_activations(name: str) -> None:
    torch.manual_seed(0)
    rows = POOLS[name]().factors
    shadows = Shadows(rows)
    e, e_ = shadows.of_rows.astype(np.float64) / STEPS, shadows.of(rows).astype(np.float64)
    bound = np.abs(e[:, :-1] @ e_[:, :-1].T) + np.outer(e[:, -1], e_[:, -1]) + shadows.slack
    h = rows.penultimate.double()
    length = h.norm(dim=1)
    known = (length > 0) & (rows.sq_norm > 0)
    unit = (h / length.where(known, 1.0)[:, None])[known].numpy()
    assert (np.abs(unit @ unit.T) <= bound[np.ix_(known, known)] * (1 + 1e-6)).all()


def test_shadows_serve_until_rows_are_added(tiles: Callable[[bool], list[int]]) -> None:
    tiles(True)
    rows = pool().factors
    backend = numba_pruned.BACKEND
    first = backend.arrange(rows, torch.arange(N))
    assert backend.arrange(rows, torch.arange(300), first).shadows is first.shadows
    longer = rows.concatenate(rows)
    assert backend.arrange(longer, torch.arange(N), first).shadows.rows is longer
