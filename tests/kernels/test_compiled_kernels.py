"""The Triton kernels as compiled for a GPU: their PTX runs on the CPU, and races are errors.

Triton's interpreter runs the Python source of a kernel; these tests run what the compiler makes of
it, as the back end launches it, and compare the results with float64. See `ptx` for the errors that
they find.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from factors import random_factors, small_integers
from ptx.launch import Emulator
from ptx.memory import KernelError, RaceError
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import LOSSES, Factors, Loss, reference
from lightning_badge.kernels.backend import Chosen
from lightning_badge.kernels.mass import Mass
from lightning_badge.kernels.precision import FLOAT64_BELOW
from lightning_badge.kernels.torch_blocked import BACKEND as TORCH
from lightning_badge.kernels.triton_tiled import BACKEND as TRITON
from lightning_badge.ordering import order

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("needs compiled kernels: unset TRITON_INTERPRET", allow_module_level=True)

# Imports triton.
from lightning_badge.kernels.triton_tiled import accept, centers, draw, embed, settle, update

pytestmark = pytest.mark.slow
MODULES = (accept, centers, draw, embed, settle, update)
# The code of kernels without matrix products is the same for sm_90.
FOR_SM_80 = pytest.mark.parametrize("compiler", [80], ids=["sm_80"], indirect=True)
KERNELS = {name for module in MODULES for name in vars(module) if name.endswith("_kernel")}


@pytest.fixture(scope="module", params=[80, 90], ids=["sm_80", "sm_90"])
def compiler(request: pytest.FixtureRequest) -> Emulator:
    """Keeps the kernels that were compiled for an architecture."""
    return Emulator(request.param)


@pytest.fixture
def emulator(compiler: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Runs the kernels of the back end as compiled."""
    for module in MODULES:
        monkeypatch.setattr(module, "launch", compiler.launch)
    monkeypatch.setattr(update, "architecture", lambda device: compiler.architecture)
    monkeypatch.setattr(update, "input_precision", lambda device: "tf32x3")
    # Fills new tensors with NaN or the largest integer, so that no result depends on old memory.
    torch.use_deterministic_algorithms(True)
    yield compiler
    torch.use_deterministic_algorithms(False)


def uniform(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def all_pairs(rows: Factors, centers: Factors) -> Tensor:
    dense = [reference.dense(f.logit_grad, f.penultimate) for f in (rows, centers)]
    return reference.pairwise(*dense)


@FOR_SM_80
class TestAccept:
    @pytest.mark.parametrize("b", [1, 5, 32, 33, 100])
    def test_candidates_are_accepted_in_order(self, emulator: Emulator, b: int) -> None:
        rows = small_integers(b, 3, 7, seed=b, largest=2)
        positions = (torch.arange(b) * 5) % max(b - b // 4, 1)  # some repeat, others are copies
        sq_dist = torch.arange(b).double() % 37 * 3
        limit = (uniform(b) * sq_dist).round()  # distances may equal limits
        drawn = torch.stack([positions, positions + 7])
        found, gains, number, taken = accept.accept(sq_dist, limit, rows, positions, drawn)
        wanted = TORCH.accept(sq_dist, limit, rows, positions)
        valid = int(number)
        assert found[:valid].tolist() == wanted.candidates[: int(wanted.number)].tolist()
        assert torch.equal(gains[:valid], wanted.gains[: int(wanted.number)])
        assert (found[valid:] == found[0]).all()
        assert torch.equal(taken, drawn[:, found])

    def test_a_chain_of_conflicts_accepts_every_second_candidate(self, emulator: Emulator) -> None:
        a, line = torch.zeros(130, 3), torch.zeros(130, 7)
        a[:, 1], line[:, 0] = 1.0, torch.arange(130)
        rows = Factors.of(a, line)
        sq_dist, positions = torch.full((130,), 1.5, dtype=torch.float64), torch.arange(130)
        drawn = torch.stack([positions, positions])
        found, _, number, _ = accept.accept(sq_dist, 0.9 * sq_dist, rows, positions, drawn)
        assert found[: int(number)].tolist() == list(range(0, 130, 2))

    @pytest.mark.parametrize(
        ("b", "cutoff"), [(1, 0.0), (5, 1e9), (32, 0.0), (32, 40.0), (33, 0.0), (70, 40.0)]
    )
    def test_the_farthest_are_picked(self, emulator: Emulator, b: int, cutoff: float) -> None:
        rows = small_integers(b, 3, 7, seed=b, largest=2)
        sq_dist = (uniform(b) * 90).floor()
        remaining, between, wanted, gains = sq_dist.clone(), all_pairs(rows, rows), [], []
        while remaining.amax() > cutoff:
            best = int(remaining.argmax())
            wanted.append(best)
            gains.append(float(remaining[best]))
            remaining = torch.minimum(remaining, between[best])
            remaining[best] = -1.0
        limit = torch.tensor(cutoff, dtype=torch.float64)
        found = TRITON.pick_farthest(sq_dist, limit, rows, torch.arange(b))
        valid = int(found.number)
        assert found.candidates[:valid].tolist() == wanted
        assert found.gains[:valid].tolist() == gains
        assert (found.candidates[valid:] == (wanted[0] if wanted else 0)).all()
        assert torch.equal(sq_dist, remaining.clamp(min=0.0))


def test_distances_of_nearly_equal_candidates(emulator: Emulator) -> None:
    rows = random_factors(40, 3, 7)
    near = Factors.of(rows.logit_grad, rows.penultimate * (1 + 1e-5 * uniform(40, 7)).float())
    rows = rows.concatenate(near)
    found, _ = accept._pairwise(rows, torch.arange(80), None)
    torch.testing.assert_close(found, all_pairs(rows, rows), rtol=1e-9, atol=0.0)


@FOR_SM_80
class TestDraw:
    @pytest.mark.parametrize(("r", "b"), [(1, 1), (70, 70), (1500, 65)])
    @pytest.mark.parametrize("ordered", [True, False])
    def test_masses_draws_and_report(
        self, emulator: Emulator, r: int, b: int, ordered: bool
    ) -> None:
        sq_dist = uniform(r).pow(20)
        sq_dist[1::3] = 0.0
        sq_dist[2::7] = 1e-310
        permutation = torch.randperm(r, generator=torch.Generator().manual_seed(0))
        places = permutation if ordered else None
        found, wanted = draw.mass(sq_dist, r + 3, places), Mass.of(sq_dist, r + 3, places)
        assert torch.equal(found.cumulative, wanted.cumulative)
        assert torch.equal(found.unit, wanted.unit)
        positions, uniforms = permutation.flip(0) + 5, uniform(2, b, seed=1)
        drawn, values = draw.draw(found, uniforms, sq_dist, positions)
        by_torch = TORCH.draw(wanted, uniforms, sq_dist, positions)
        assert torch.equal(drawn, torch.stack(by_torch[:2]))
        assert torch.equal(values, torch.stack(by_torch[2:]))
        chosen = Chosen(*drawn, values[0], torch.tensor(b // 2))
        after = Mass.of(sq_dist / 2, r + 3)
        assert torch.equal(draw.report(chosen, found, after), TORCH.report(chosen, wanted, after))

    def test_infinite_distances(self, emulator: Emulator) -> None:
        sq_dist = torch.full((40,), torch.inf, dtype=torch.float64)
        chosen = Chosen(*torch.arange(6).expand(2, 6), uniform(6), torch.tensor(6))
        found = draw.report(chosen, *[draw.mass(sq_dist, 40, None)] * 2)
        assert found[:3].tolist() == [torch.inf, torch.inf, 6.0]


class TestCenters:
    @FOR_SM_80
    @pytest.mark.parametrize(("m", "number"), [(1, None), (70, None), (70, 33), (150, 0)])
    def test_rows_are_taken_by_label_and_norm(
        self, emulator: Emulator, m: int, number: int | None
    ) -> None:
        rows = small_integers(200, 7, 41, largest=2)  # many equal norms
        positions = torch.randperm(200, generator=torch.Generator().manual_seed(0))
        slots = torch.arange(m).flip(0)
        known = torch.ones(200, dtype=torch.float64)
        given = None if number is None else torch.tensor(number)
        found, multiplied = centers.take(known, rows, positions, slots, given)
        valid = m if number is None else number
        row = positions[slots[:valid]]
        wanted = rows.take(row)
        wanted = wanted.take(update.by_label_and_norm(wanted))
        for one, other in zip(found.take(slice(0, valid)).tensors, wanted.tensors, strict=True):
            assert torch.equal(one, other)
        assert torch.equal((known == 0).nonzero()[:, 0], slots[:valid].sort().values)
        assert int(multiplied) == 0

    @pytest.mark.parametrize("number", [None, 70])
    def test_bounds(self, emulator: Emulator, number: int | None) -> None:
        taken, side = random_factors(100, 7, 41), update.update_tile(emulator.architecture).centers
        given = None if number is None else torch.tensor(number)
        found = centers.bounds(taken, given, torch.ones(2, dtype=torch.float64), side)
        for tile, part in enumerate(range(0, number or 100, side)):
            inside = taken.take(slice(part, min(part + side, number or 100)))
            assert torch.equal(found.low[tile], inside.logit_grad.amin(0))
            assert torch.equal(found.high[tile], inside.logit_grad.amax(0))
            norm = inside.sq_norm.sqrt()
            wanted = torch.stack([norm.amin(), norm.amax(), (norm / inside.logit_grad_norm).amax()])
            torch.testing.assert_close(found.norms[tile].double(), wanted, rtol=1e-6, atol=0.0)


class TestUpdate:
    def check(self, rows: Factors, centers: Factors, **more: Any) -> None:
        """Compares distances: those that need float64, and copies, to more digits."""
        known = torch.full_like(rows.sq_norm, torch.inf)
        TRITON.update(known, rows, torch.arange(len(rows)), centers, **more)
        wanted, nearest = all_pairs(rows, centers).min(1)
        norms = rows.sq_norm + centers.sq_norm[nearest]
        doubtful = wanted < 0.9 * FLOAT64_BELOW * norms
        torch.testing.assert_close(known[doubtful], wanted[doubtful], rtol=1e-9, atol=0.0)
        torch.testing.assert_close(known[~doubtful], wanted[~doubtful], rtol=1e-4, atol=0.0)

    @pytest.mark.parametrize("prune", [True, False])
    def test_doubtful_pairs_and_copies(self, emulator: Emulator, prune: bool) -> None:
        rows = random_factors(150, 7, 41)
        rows.logit_grad[[0, 100]], rows.logit_grad[[1, 101]] = 0.0, 1e-25
        rows = Factors.of(*rows.tensors[:2])
        near = rows.take(slice(0, 40, 3))
        near = Factors.of(near.logit_grad * 1.001, near.penultimate)
        others = random_factors(70, 7, 41, seed=1)
        self.check(
            rows, others.concatenate(near).concatenate(rows.take(slice(90, 120, 3))), prune=prune
        )

    @pytest.mark.parametrize(
        ("n", "c", "h", "m"), [(1, 1, 1, 1), (65, 16, 32, 64), (33, 21, 16, 3)]
    )
    def test_sizes_with_different_code(
        self, emulator: Emulator, n: int, c: int, h: int, m: int
    ) -> None:
        rows, others = random_factors(n, c, h), random_factors(m, c, h, seed=1)
        self.check(rows, others, prune=c > 1)

    def test_pruning_skips_products_and_distances_keep_their_digits(
        self, emulator: Emulator
    ) -> None:
        # Two groups whose distance is known from their norms, and rows that are centers already.
        rows = random_factors(130, 7, 41)
        scale = torch.where(torch.arange(130) < 64, 1.0, 100.0)[:, None]
        rows = Factors.of(rows.logit_grad, rows.penultimate.abs() * scale)
        known, positions = rows.sq_norm * (0.05 + 1e-12), torch.arange(130)
        known[::2] = 0.0
        before = known.clone()
        centers = rows.take(slice(2, 64, 9))
        work = TRITON.update(known, rows, positions, centers, signed=False)
        assert 0 < int(work.multiplied) < work.pairs
        wanted = torch.minimum(before, all_pairs(rows, centers).amin(1))
        torch.testing.assert_close(known, wanted, rtol=1e-4, atol=0.0)
        kept = wanted == before
        assert kept[64:].all()
        assert torch.equal(known[kept], before[kept])

    def test_new_centers_have_distance_zero(self, emulator: Emulator) -> None:
        rows = random_factors(90, 7, 41)
        positions = torch.randperm(90, generator=torch.Generator().manual_seed(0))
        slots, number = torch.arange(3, 60, 2), torch.tensor(20)
        before = torch.full((90,), torch.inf, dtype=torch.float64)
        known, _ = TRITON.with_centers(before, rows, positions, slots, number=number)
        wanted = all_pairs(rows.take(positions), rows.take(positions[slots[:20]])).amin(1)
        torch.testing.assert_close(known, wanted, rtol=1e-4, atol=0.0)
        assert (known == 0).nonzero()[:, 0].tolist() == slots[:20].tolist()

    def test_rows_are_compared_with_centers_from_their_start_on(self, emulator: Emulator) -> None:
        rows, others = random_factors(70, 7, 41), random_factors(100, 7, 41, seed=1)
        starts = torch.linspace(0, 100, 70).long()
        known = torch.full_like(rows.sq_norm, torch.inf)
        TRITON.update(known, rows, torch.arange(70), others, prune=False, starts=starts)
        pairs = all_pairs(rows, others)
        for row, start in enumerate(starts.tolist()):
            # A row may also be compared with earlier centers of the tile of its first center.
            assert start == 100 or known[row] <= pairs[row, start:].amin() * 1.0001
            assert known[row] >= pairs[row].amin() * 0.9999


class TestEmbed:
    @pytest.mark.parametrize("loss", LOSSES)
    @pytest.mark.parametrize(
        ("n", "c", "h", "dtype"),
        [
            (70, 7, 41, torch.float32),
            (33, 130, 16, torch.bfloat16),
            (5, 2, 3, torch.float16),
            (2, 17000, 3, torch.float32),
        ],
    )
    def test_gradients(
        self, emulator: Emulator, n: int, c: int, h: int, dtype: torch.dtype, loss: Loss
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = (4 * torch.randn(n, c, generator=generator)).to(dtype)
        logits[0, c // 2 :] = -torch.inf  # masked classes
        penultimate = torch.randn(n, h, generator=generator).to(dtype)
        grad, sq_norm = TRITON.embed(penultimate, logits, loss=loss)
        wanted = reference.logit_grad_and_sq_norm(penultimate, logits, loss=loss)
        # A GPU approximates the exponential function with a relative error of up to 6e-6.
        rtol = 8e-6 if c < 5000 else 3e-5
        torch.testing.assert_close(grad.double(), wanted[0], rtol=rtol, atol=1e-37)
        torch.testing.assert_close(sq_norm, wanted[1], rtol=2 * rtol, atol=1e-60)


@FOR_SM_80
def test_orderings_run_all_kernels(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(TRITON), "unavailable", lambda self, device, dtype: None)
    emulator.launched.clear()
    logits, penultimate = small_integers(33, 3, 5, largest=2).tensors[:2]
    GradientEmbedding.from_logits(penultimate, logits, backend="triton")
    pool = GradientEmbedding.from_dense(penultimate)
    for strategy in ("badge", "coreset"):
        found = order(pool, strategy, seed=3, backend="triton")
        wanted = order(pool, strategy, seed=3, backend="torch")
        assert found.sample_ids.tolist() == wanted.sample_ids.tolist()
        np.testing.assert_array_equal(found.gains, wanted.gains)
    assert emulator.launched == KERNELS


def mutant(module: ModuleType, old: str, new: str, folder: Path, emulator: Emulator) -> Any:
    """Imports a copy of a module with a changed kernel."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert old in source, f"the source of {module.__name__} has changed: {old!r} is not in it"
    path = folder / "mutant.py"
    path.write_text(source.replace(old, new), encoding="utf-8")
    spec = spec_from_file_location(f"mutant_of_{module.__name__.split('.')[-1]}", path)
    changed = module_from_spec(spec)
    sys.modules[spec.name] = changed
    spec.loader.exec_module(changed)
    changed.launch = emulator.launch
    return changed


def _accept(module: Any, b: int = 20) -> None:
    sq_dist = 90 * uniform(b)
    module.accept(sq_dist, 0.5 * sq_dist, small_integers(b, 3, 7, largest=2), torch.arange(b))


def _farthest(module: Any, b: int = 20) -> None:
    limit = torch.tensor(5.0, dtype=torch.float64)
    module.pick_farthest(
        90 * uniform(b), limit, small_integers(b, 3, 7, largest=2), torch.arange(b)
    )


def _take(module: Any) -> None:
    rows = small_integers(40, 1, 2, largest=2)
    known = torch.ones(40, dtype=torch.float64)
    module.take(known, rows, torch.arange(40), torch.arange(40), None)


BARRIER = "    tl.debug_barrier()\n"
MUTANTS = {
    "the barrier before distances are overwritten": (
        *(accept, BARRIER + "    tl.store(min_sq_dist", "    tl.store(min_sq_dist", _farthest),
        *(RaceError, "farthest_kernel, line .* writes what another warp read since"),
    ),
    "the mask of a store": (
        *(accept, "tl.store(gains + k, gain, k < b)", "tl.store(gains + k, gain)", _accept),
        *(KernelError, "gain_kernel, line .* outside the tensors"),
    ),
    "the order of ties": (
        *(centers, " & (j[None, :] < k[:, None])", " & (j[None, :] < 0)", _take),
        *(RaceError, "take_kernel, line .* (one instruction writes two|writes what another)"),
    ),
}


@FOR_SM_80
@pytest.mark.parametrize("removed", MUTANTS)
def test_a_change_that_breaks_a_kernel_is_found(
    emulator: Emulator, removed: str, tmp_path: Path
) -> None:
    module, old, new, runs, error, message = MUTANTS[removed]
    runs(module)
    with pytest.raises(error, match=message):
        runs(mutant(module, old, new, tmp_path, emulator))


HASTY = {
    "barriers": (r"bar\.sync\s+0;", ""),
    "waits for copies": (r"cp\.async\.wait_group\s+\d+;", "cp.async.wait_group 99;"),
    "fences": (r"fence\.proxy\.async\.shared::cta;", ""),
    "waits for products": (r"wgmma\.wait_group\.sync\.aligned\s+0;", ""),
}


@pytest.mark.parametrize("removed", HASTY)
def test_compiled_code_without_synchronization_is_refused(
    emulator: Emulator, removed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = []

    def edit(ptx: str) -> str:
        changed = re.sub(*HASTY[removed], ptx)
        edits.append(changed != ptx)
        return changed

    monkeypatch.setattr(update, "launch", Emulator(emulator.architecture, edit).launch)
    rows = random_factors(40, 7, 41)
    known = torch.full_like(rows.sq_norm, torch.inf)
    if emulator.architecture < 90 and removed in ("fences", "waits for products"):
        TRITON.update(known, rows, torch.arange(40), rows, prune=False)
        assert edits == [False]  # products of single warps are synchronous
        return
    with pytest.raises(KernelError, match="update_kernel"):
        TRITON.update(known, rows, torch.arange(40), rows, prune=False)
