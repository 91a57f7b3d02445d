"""The cost of the updates of torch and numba, and their independence of global settings."""

import pytest
import torch

from lightning_badge.kernels import Factors, numba_pruned, torch_blocked
from lightning_badge.kernels.registry import resolve_backend


def factors(n: int, c: int, h: int, seed: int = 0) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, c, generator=generator)
    return Factors.of(a, torch.randn(n, h, generator=generator))


def by_torch(rows: Factors, centers: Factors) -> torch.Tensor:
    known = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    resolve_backend("torch").update(known, rows, torch.arange(len(rows)), centers)
    return known


@pytest.mark.parametrize(("backend", "share"), [("torch", 0.75), ("numba", 0.1)])
def test_pruning_skips_most_products_of_rows_with_different_norms(
    backend: str, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba_pruned, "PRUNE_BELOW", 1.0)
    monkeypatch.setattr(torch_blocked, "CHUNK", {True: 32})
    scale = torch.logspace(-3, 0, 3000)[:, None]
    random = factors(3000, 10, 64)
    rows = Factors.of(random.logit_grad * scale, random.penultimate.abs())
    centers = rows.take(torch.arange(0, 3000, 5))
    known = torch.full((3000,), torch.inf, dtype=torch.float64)
    all_positions = torch.arange(3000)
    for half in (slice(0, None, 2), slice(1, None, 2)):
        work = resolve_backend(backend).update(
            known, rows, all_positions, centers.take(half), signed=False
        )
    assert work.pairs == 3000 * 300
    assert 0 < work.multiplied < share * work.pairs


def test_a_chosen_row_is_not_compared_with_itself_in_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recomputed = []
    original = torch_blocked._lower_doubtful_in_float64
    monkeypatch.setattr(
        torch_blocked,
        "_lower_doubtful_in_float64",
        lambda *tile: recomputed.append(1) or original(*tile),
    )
    rows = factors(500, 10, 64)
    known = torch.full((500,), 1e9, dtype=torch.float64)
    centers = torch.arange(0, 500, 50)
    known[centers] = 0.0
    resolve_backend("torch").update(known, rows, torch.arange(500), rows.take(centers))
    assert not recomputed
    known = torch.full((500,), 1e9, dtype=torch.float64)
    resolve_backend("torch").update(known, rows, torch.arange(500), rows.take(centers))
    assert recomputed
    assert (known[centers] == 0).all()


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_the_global_matmul_precision_is_ignored_and_kept(precision: str) -> None:
    rows, centers = factors(100, 10, 300), factors(20, 10, 300, seed=1)
    wanted = by_torch(rows, centers)
    torch.set_float32_matmul_precision(precision)
    try:
        assert torch.equal(by_torch(rows, centers), wanted)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_the_global_tf32_flag_is_ignored_and_kept() -> None:
    rows, centers = factors(100, 10, 300), factors(20, 10, 300, seed=1)
    wanted = by_torch(rows, centers)
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        assert torch.equal(by_torch(rows, centers), wanted)
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_autocast_is_ignored() -> None:
    rows, centers = factors(100, 10, 300), factors(20, 10, 300, seed=1)
    wanted = by_torch(rows, centers)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(by_torch(rows, centers), wanted)
