"""The Triton kernels agree with the reference back end and with torch.

Without a GPU they run in Triton's interpreter:
``TRITON_INTERPRET=1 pytest tests/kernels/test_triton_tiled.py``. With a GPU, ``pytest -m gpu`` runs
the same tests on it.
"""

from __future__ import annotations

import math
import mmap
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from factors import random_factors, small_integers
from pretend_gpu import SYNCS
from tiny import Classifier, loader, make_trainer
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import LOSSES, Factors, Loss, reference
from lightning_badge.kernels.gradient import logit_grad
from lightning_badge.kernels.pairwise import pairwise_sq_dist
from lightning_badge.kernels.torch_blocked import BACKEND as TORCH
from lightning_badge.kernels.triton_tiled import BACKEND as TRITON
from lightning_badge.ordering import LazyOrdering, order
from lightning_badge.ordering.transfer import to_host
from lightning_badge.ordering_file import read_ordering

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
MAP_NORESERVE = 0x4000  # Linux only

if find_spec("triton") is None:
    pytest.skip("triton is not installed", allow_module_level=True)
if not IS_INTERPRETED and not torch.cuda.is_available():
    pytest.skip("needs TRITON_INTERPRET=1 or a CUDA device", allow_module_level=True)

# Imports triton.
from lightning_badge.kernels.triton_tiled import accept, arithmetic, centers, draw, settle, update

pytestmark = [] if IS_INTERPRETED else [pytest.mark.gpu]


@pytest.fixture
def device() -> str:
    return "cpu" if IS_INTERPRETED else "cuda"


SHAPES = [
    (n, c, h, m)
    for n in (1, 63, 100, 257)
    for c in (1, 2, 7, 130)
    for h in (1, 41, 300)
    for m in (1, 5, 65)
]


def on(device: str, factors: Factors) -> Factors:
    return Factors(*(tensor.to(device) for tensor in factors.tensors))


def all_positions(factors: Factors) -> Tensor:
    return torch.arange(len(factors), device=factors.sq_norm.device)


def min_sq_dist(rows: Factors, centers: Factors, **more: Any) -> Tensor:
    known = torch.full_like(rows.sq_norm, torch.inf)
    TRITON.update(known, rows, all_positions(rows), centers, **more)
    return known.cpu()


def expected(rows: Factors, centers: Factors) -> Tensor:
    dense = [
        reference.dense(f.logit_grad.cpu(), f.penultimate.cpu()).double() for f in (rows, centers)
    ]
    # Row by row, because all rows together would need gigabytes.
    return torch.cat([reference.min_sq_dist(row, dense[1]) for row in dense[0].split(1)])


def assert_near(found: Tensor, wanted: Tensor, rtol: float = 1e-3) -> None:
    torch.testing.assert_close(found.cpu().double(), wanted.double(), rtol=rtol, atol=1e-9)


class TestUpdate:
    @pytest.mark.parametrize("architecture", [80, 90])
    @pytest.mark.parametrize("prune", [True, False])
    def test_the_tiles_of_all_architectures(self, device, architecture, prune, monkeypatch) -> None:
        monkeypatch.setattr(update, "architecture", lambda device: architecture)
        rows, centers = random_factors(150, 7, 41), random_factors(97, 7, 41, seed=1)
        centers = centers.concatenate(rows.take(slice(0, 30, 3)))
        rows, centers = on(device, rows), on(device, centers)
        found = min_sq_dist(rows, centers, prune=prune)
        assert_near(found, expected(rows, centers))
        assert (found[:30:3] == 0).all()

    def test_only_the_given_entries_are_written(self, device: str) -> None:
        rows, centers = random_factors(100, 7, 41), random_factors(5, 7, 41, seed=1)
        room = torch.full((102,), torch.nan, dtype=torch.float64, device=device)
        known = room[1:101]
        known.fill_(torch.inf)
        rows, centers = on(device, rows), on(device, centers)
        TRITON.update(known, rows, all_positions(rows), centers)
        assert_near(known, expected(rows, centers))
        assert room[[0, -1]].isnan().all()

    def test_memory_beyond_the_rows_is_not_used(self, device: str) -> None:
        poisoned = random_factors(130, 7, 41)
        for tensor in poisoned.tensors:
            tensor[100:] = torch.nan
        rows = on(device, poisoned).take(slice(0, 100))
        centers = rows.take(slice(95, 100))
        assert_near(min_sq_dist(rows, centers), expected(rows, centers))

    def test_norm_bounds_skip_no_tile_that_may_matter(self, device: str) -> None:
        # On a ray, the distance of two rows is the difference of their norms.
        ray = torch.ones(1, 8) / 8**0.5
        rows = on(device, Factors.of(torch.ones(64, 1), ray.repeat(64, 1)))
        centers = on(device, Factors.of(torch.ones(33, 1), 1.5 * ray.repeat(33, 1)))
        known = torch.full_like(rows.sq_norm, 0.26)
        TRITON.update(known, rows, all_positions(rows), centers)
        assert_near(known, torch.full((64,), 0.25))

    def test_distances_over_twelve_decades_are_accurate(self, device: str) -> None:
        base = random_factors(120, 5, 30)
        scale = torch.logspace(-6, 0, 120)[:, None]
        rows = Factors.of(base.logit_grad * scale, base.penultimate.abs())
        rows = on(device, rows)
        centers = rows.take(torch.arange(0, 120, 10, device=device))
        for signed in (True, False):
            found = min_sq_dist(rows, centers, signed=signed)
            torch.testing.assert_close(found, expected(rows, centers), rtol=1e-4, atol=0.0)

    def test_pruning_skips_products_of_rows_sorted_by_label_and_norm(self, device) -> None:
        label = functional.one_hot(torch.arange(640) // 160, 4)
        logits = label * torch.linspace(2, 12, 640)[:, None]
        a = logit_grad(logits, "cross_entropy")
        rows = on(device, Factors.of(a, random_factors(640, 1, 16).penultimate.abs()))
        known = torch.full_like(rows.sq_norm, torch.inf)
        for part in (slice(0, None, 8), slice(1, None, 4)):
            centers = rows.take(part)
            work = TRITON.update(known, rows, all_positions(rows), centers, signed=False)
        assert_near(known, expected(rows, centers.concatenate(rows.take(slice(0, None, 8)))))
        assert work.pairs == 640 * 160
        assert 0 < int(work.multiplied) < 0.7 * work.pairs
        dense = TRITON.update(known, rows, all_positions(rows), centers, prune=False)
        assert int(dense.multiplied) == dense.pairs

    def test_strided_rows(self, device: str) -> None:
        plain = random_factors(40, 7, 41)
        wide = torch.full((80, 90), torch.nan)
        wide[::2, 3:44] = plain.penultimate
        a = torch.full((7, 40), torch.nan).T
        a.copy_(plain.logit_grad)
        strided = Factors(a, wide[::2, 3:44], plain.sq_norm, plain.logit_grad_norm)
        strided = Factors(*(_to_with_strides(tensor, device) for tensor in strided.tensors))
        assert strided.logit_grad.stride() == (1, 40)
        assert strided.penultimate.stride() == (180, 1)
        centers = strided.take(slice(0, 9))
        assert_near(min_sq_dist(strided, centers), expected(plain, plain.take(slice(0, 9))))

    def test_offsets_beyond_two_to_the_31(self, device: str) -> None:
        plain = random_factors(20, 3, 41)
        far = _far_apart(20, 41, device)
        far.copy_(plain.penultimate)
        assert 19 * far.stride(0) > 2**31
        near = on(device, plain)
        rows = Factors(near.logit_grad, far, near.sq_norm, near.logit_grad_norm)
        centers = near.take(slice(0, 5))
        assert_near(min_sq_dist(rows, centers), expected(plain, plain.take(slice(0, 5))))
        far, zero = torch.full((20,), 9e9).double(), torch.zeros(20).double()
        found = TRITON.accept(far.to(device), zero.to(device), rows, all_positions(rows))
        wanted = TORCH.accept(far, zero, plain, all_positions(plain))
        assert_near(_valid_entries(found)[1], wanted[1], rtol=1e-6)

    @pytest.mark.parametrize("prune", [True, False])
    def test_copies_among_invalid_centers_are_ignored(self, device: str, prune: bool) -> None:
        # The first center, which is valid, is a copy too, so its tile is recomputed in float64.
        rows = on(device, random_factors(20, 7, 20))
        number = torch.tensor(1, device=device)
        found = min_sq_dist(rows, rows, prune=prune, number=number)
        assert_near(found, expected(rows, rows.take(slice(0, 1))))
        assert (found[1:] > 0).all()

    def test_rows_are_compared_with_centers_from_their_start_on(self, device: str) -> None:
        rows = on(device, random_factors(70, 7, 20))
        centers = on(device, random_factors(192, 7, 20, seed=1))
        starts = torch.linspace(0, 192, 70, device=device).long()
        found = min_sq_dist(rows, centers, prune=False, starts=starts)
        dense = [reference.dense(f.logit_grad.cpu(), f.penultimate.cpu()) for f in (rows, centers)]
        all_pairs = torch.cdist(dense[0].double(), dense[1].double()).square()
        for row, start in enumerate(starts.tolist()):
            nearest = all_pairs[row, start:].amin() if start < 192 else math.inf
            # A row may also be compared with earlier centers of the tile of its first center.
            assert found[row] <= nearest * 1.001
            assert found[row] >= all_pairs[row].amin() * 0.999
        starts.fill_(192)
        assert min_sq_dist(rows, centers, prune=False, starts=starts).isinf().all()


class TestLogitGrad:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize(
        ("n", "c", "h", "loss"),
        [
            (n, c, h, loss)
            for n, c, h in sorted({shape[:3] for shape in SHAPES})
            for loss in LOSSES
            if c > 1 or loss == "binary_cross_entropy"
        ],
    )
    def test_gradients_equal_the_reference_and_torch(
        self, device: str, n: int, c: int, h: int, loss: Loss, dtype: torch.dtype
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = (4 * torch.randn(n, c, generator=generator)).to(dtype)
        penultimate = torch.randn(n, h, generator=generator).to(dtype)
        self.check(device, penultimate, logits, loss)

    def check(
        self,
        device: str,
        penultimate: Tensor,
        logits: Tensor,
        loss: Loss,
        by: Any = reference.logit_grad_and_sq_norm,
    ) -> None:
        wanted = by(penultimate.double(), logits.double(), loss=loss)
        torch_found = TORCH.embed(penultimate, logits, loss=loss)
        found = TRITON.embed(
            _to_with_strides(penultimate, device), _to_with_strides(logits, device), loss=loss
        )
        assert found[0].dtype == torch.float32
        assert found[1].dtype == torch.float64
        rtol = 2e-6 if logits.shape[1] < 5000 else 2e-5  # of a float32 sum over the classes
        # A GPU approximates the exponential function with a relative error of up to 6e-6.
        on_gpu = 0.0 if IS_INTERPRETED else 6e-6
        for (grad, sq_norm), by in ((torch_found, rtol), (found, rtol + on_gpu)):
            torch.testing.assert_close(grad.cpu().double(), wanted[0], rtol=by, atol=1e-37)
            torch.testing.assert_close(sq_norm.cpu(), wanted[1], rtol=2 * by, atol=1e-60)

    @pytest.mark.parametrize("c", [5, 2049, 17000, 40000])
    @pytest.mark.parametrize("loss", LOSSES)
    def test_many_classes_and_masked_ones(self, device: str, c: int, loss: Loss) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = 4 * torch.randn(6, c, generator=generator)
        logits[1, ::2] = -torch.inf
        logits[2, : c // 2] = -torch.inf
        logits[3, 1:] = -torch.inf
        logits[4, 0] = 12.0
        logits[5] = 1.0
        self.check(device, torch.randn(6, 3, generator=generator), logits, loss)

    @pytest.mark.parametrize("c", [3, 20000])
    def test_gradients_of_confident_predictions_are_accurate(self, device: str, c: int) -> None:
        logits = torch.zeros(4, c)
        logits[torch.arange(4), torch.tensor([0, 1, 2, c - 1])] = torch.tensor([20.0, 40, 60, 80])
        # The reference subtracts a number close to 1 from 1, which cancels; torch does not.
        self.check(device, torch.ones(4, 2), logits, "cross_entropy", by=TORCH.embed)

    def test_strided_logits(self, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(40, 14, generator=generator)[:, ::2]
        penultimate = torch.randn(41, 40, generator=generator).T
        self.check(device, penultimate, logits, "cross_entropy")

    def test_offsets_beyond_two_to_the_31(self, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        plain = torch.randn(20, 7, generator=generator)
        far = _far_apart(20, 7, device)
        far.copy_(plain)
        found = TRITON.embed(far[:, :3], far, loss="cross_entropy")
        wanted = reference.logit_grad_and_sq_norm(
            plain[:, :3].double(), plain.double(), loss="cross_entropy"
        )
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one.cpu().double(), other, rtol=1e-5, atol=1e-9)

    def test_gradient_embeddings_use_the_kernel(self, device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(30, 5, generator=generator).bfloat16()
        penultimate = torch.randn(30, 9, generator=generator).bfloat16()
        wanted = GradientEmbedding.from_logits(penultimate, logits, backend="torch", bias=True)
        found = GradientEmbedding.from_logits(
            penultimate.to(device), logits.to(device), backend="triton", bias=True
        )
        for one, other in zip(found.factors.tensors, wanted.factors.tensors, strict=True):
            torch.testing.assert_close(one.cpu(), other, rtol=1e-5, atol=1e-7)
        assert found.hallucinated_label is not None
        assert wanted.hallucinated_label is not None
        assert torch.equal(found.hallucinated_label.cpu(), wanted.hallucinated_label)


def _valid_entries(accepted: Any) -> tuple[Tensor, Tensor]:
    number = int(accepted.number)
    assert (accepted.candidates[number:] == accepted.candidates[0]).all()
    return accepted.candidates[:number].cpu(), accepted.gains[:number].cpu()


@pytest.mark.parametrize("architecture", [75, 80, 89, 90, 100, 120])
def test_tiles_are_deep_enough_for_all_versions_of_triton(architecture: int) -> None:
    # Triton below 3.8 does not compile products of smaller depth.
    assert min(update.update_tile(architecture).depth, arithmetic.EXACT_DEPTH) >= 16
    assert arithmetic.SHALLOWEST == 16


class TestAccept:
    def test_a_chain_of_conflicts_accepts_every_second_candidate(self, device: str) -> None:
        # Each candidate conflicts only with its two neighbours.
        line = torch.arange(130.0)[:, None]
        rows = on(device, Factors.of(torch.ones(130, 1), line))
        for mass, uniform in ((1.5, 0.9), (2.0, 0.5)):
            stale = torch.full((130,), mass, dtype=torch.float64, device=device)
            found = TRITON.accept(stale, uniform * stale, rows, all_positions(rows))
            # In the second case the distance equals the limit, which is not enough.
            assert _valid_entries(found)[0].tolist() == list(range(0, 130, 2))

    @pytest.mark.parametrize("b", [1, 5, 64, 100])
    @pytest.mark.parametrize("cutoff", [0.0, 40.0, 1e9])
    def test_pick_farthest_equals_a_loop_over_argmax(self, device, b, cutoff) -> None:
        rows = small_integers(b, 1, 5, seed=b)
        rows = Factors.of(torch.ones(b, 1), rows.penultimate)
        generator = torch.Generator().manual_seed(b)
        sq_dist = torch.randint(0, 90, (b,), generator=generator).double()
        remaining, all_pairs = sq_dist.clone(), pairwise_sq_dist(rows, rows)
        wanted, gains = [], []
        while remaining.amax() > cutoff:
            best = int(np.argmax(remaining.numpy()))
            wanted.append(best)
            gains.append(float(remaining[best]))
            remaining = torch.minimum(remaining, all_pairs[best])
            remaining[best] = -1.0
        sq_dist = sq_dist.to(device)
        limit = torch.tensor(cutoff, dtype=torch.float64, device=device)
        rows = on(device, rows)
        found = _valid_entries(TRITON.pick_farthest(sq_dist, limit, rows, all_positions(rows)))
        assert found[0].tolist() == wanted
        assert found[1].tolist() == gains
        assert torch.equal(sq_dist.cpu(), remaining.clamp(min=0.0))


def integer_pool(n: int, seed: int = 0) -> GradientEmbedding:
    rows = small_integers(n, 1, 5, seed)
    return GradientEmbedding.from_dense(rows.penultimate)


class TestOrderings:
    @pytest.mark.parametrize("strategy", ["badge", "kmeans_pp_penultimate", "coreset"])
    @pytest.mark.parametrize("n", [1, 2, 65, 300])
    def test_small_integers_are_ordered_as_by_torch(self, device, strategy, n) -> None:
        pool = integer_pool(n)
        there = order(pool, strategy, seed=3, backend="torch")
        here = order(pool.to(device), strategy, seed=3, backend="triton")
        assert here.sample_ids.tolist() == there.sample_ids.tolist()
        np.testing.assert_array_equal(here.gains, there.gains)
        assert here.metadata["backend"] == "triton"

    @pytest.mark.parametrize("strategy", ["badge", "coreset"])
    def test_extensions_and_discards_between_parts(self, device: str, strategy: str) -> None:
        orderings = []
        for where, backend in (("cpu", "torch"), (device, "triton")):
            pool = integer_pool(120).to(where)
            late = GradientEmbedding.from_dense(
                integer_pool(40, seed=1).penultimate.to(where), sample_ids=range(1000, 1040)
            )
            lazy = LazyOrdering(pool, strategy, seed=5, backend=backend)
            parts = [lazy.take(7)]
            lazy.extend(late)
            parts.append(lazy.take(20))
            lazy.discard([i for i in range(100, 120) if not lazy.has_issued(i)])
            parts.append(lazy.take())
            orderings.append([i for part in parts for i in part.sample_ids.tolist()])
        assert orderings[0] == orderings[1]

    @pytest.mark.parametrize("strategy", ["badge", "coreset"])
    def test_a_restored_state_continues_identically(self, device: str, strategy: str) -> None:
        pool = integer_pool(150).to(device)
        lazy = LazyOrdering(pool, strategy, seed=5, backend="triton")
        lazy.take(33)
        other = LazyOrdering(pool, strategy, seed=5, backend="triton")
        other.load_state_dict(lazy.state_dict())
        assert other.take().sample_ids.tolist() == lazy.take().sample_ids.tolist()

    @pytest.mark.parametrize("strategy", ["badge", "coreset"])
    def test_one_transfer_to_the_host_per_block(
        self, device: str, strategy: str, monkeypatch
    ) -> None:
        pool = GradientEmbedding.from_dense(random_factors(300, 1, 6).penultimate.to(device))
        lazy = LazyOrdering(pool, strategy, backend="triton")
        lazy.take(1)
        transfers = []
        for module in ("kmeans_pp", "k_center"):
            monkeypatch.setattr(
                sys.modules[f"lightning_badge.ordering.strategies.{module}"],
                "to_host",
                lambda *tensors: transfers.append(1) or to_host(*tensors),
            )
        with _Counter(monkeypatch) as counted:
            lazy.take(200)
        assert len(transfers) <= lazy.counters.blocks
        # Compaction, which needs syncs too, runs each time half of the rows have been issued.
        assert counted.syncs <= 3 * math.log2(300)
        assert lazy.counters.blocks <= 16

    def test_few_calls_of_torch_per_block(self, device: str, monkeypatch) -> None:
        pool = GradientEmbedding.from_dense(random_factors(500, 1, 6).penultimate.to(device))
        lazy = LazyOrdering(pool, backend="triton")
        lazy.take(70)  # the rows are sorted after 64 centers
        blocks = lazy.counters.blocks
        with _Counter(monkeypatch) as counted:
            lazy.take(150)
        assert lazy.counters.blocks - blocks >= 2
        copies = 0 if device == "cpu" else 5  # of the issued rows to the card, of the report back
        assert counted.calls <= (45 + copies) * (lazy.counters.blocks - blocks)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated")
def test_the_callback_orders_with_triton(device: str, tmp_path: Path) -> None:
    callback = BadgeCallback(backend="triton", pool=loader(40))
    accelerator = "cpu" if device == "cpu" else "gpu"
    trainer = make_trainer(tmp_path, callbacks=[callback], accelerator=accelerator)
    trainer.validate(Classifier(), loader(40), verbose=False)
    assert callback.last_ordering_path is not None
    ordering = read_ordering(callback.last_ordering_path)
    assert sorted(ordering.sample_ids.tolist()) == list(range(40))
    assert ordering.metadata["backend"] == "triton"


class _Counter(TorchDispatchMode):
    """Counts calls of torch, and those that would force a host sync on a GPU.

    Calls within a launch are those of Triton's interpreter and do not count.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.calls = self.syncs = 0
        self._is_launching = False
        for module in (accept, centers, draw, settle, update):
            monkeypatch.setattr(module, "launch", self._launch)

    def _launch(self, *arguments: Any, **constants: Any) -> None:
        self._is_launching = True
        arithmetic.launch(*arguments, **constants)
        self._is_launching = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put_") and any(
            isinstance(at, Tensor) and at.dtype == torch.bool for at in args[1]
        )
        if not self._is_launching:
            self.calls += 1
            self.syncs += name in SYNCS or by_mask
        return func(*args, **kwargs or {})


def _to_with_strides(tensor: Tensor, device: str) -> Tensor:
    """Copies a tensor to a device and keeps its strides."""
    moved = torch.full(
        (tensor.untyped_storage().nbytes() // tensor.element_size(),),
        0,
        dtype=tensor.dtype,
        device=device,
    )
    there = moved.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
    return there.copy_(tensor)


def _far_apart(n: int, width: int, device: str) -> Tensor:
    """Returns a matrix whose rows span more than 2^31 entries; only touched pages use memory."""
    entries = 2**31 + 2**26
    if device == "cpu":
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
        room = torch.frombuffer(mmap.mmap(-1, 4 * entries, flags=flags), dtype=torch.float32)
    else:
        room = torch.empty(entries, device=device)
    return room.as_strided((n, width), ((entries - width) // (n - 1), 1))
