"""Every back end computes the same as the specification, the back end ``reference``."""

import math
import os
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from factors import random_factors, small_integers
from torch import Tensor

from lightning_badge.kernels import (
    LOSSES,
    Backend,
    Factors,
    Loss,
    Mass,
    numba_pruned,
    torch_blocked,
)
from lightning_badge.kernels import reference as specification
from lightning_badge.kernels.gradient import logit_grad
from lightning_badge.kernels.registry import backends, resolve_backend

IS_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if IS_INTERPRETED or not torch.cuda.is_available() else "cuda"
CAN_TRITON = find_spec("triton") is not None and (IS_INTERPRETED or DEVICE == "cuda")

SHAPES = [
    (n, c, h, m)
    for n in (1, 63, 100, 257)
    for c, h in ((1, 1), (2, 41), (7, 300), (130, 41))
    for m in (1, 5, 65)
]


def _with_marks(name: str) -> Any:
    needs_gpu = name == "triton" and not IS_INTERPRETED
    return pytest.param(name, marks=[pytest.mark.gpu] if needs_gpu else [])


@pytest.fixture(params=map(_with_marks, sorted(backends())))
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Backend:
    if request.param == "triton" and not CAN_TRITON:
        pytest.skip("Triton needs TRITON_INTERPRET=1 or a CUDA device")
    # Without this, numba would pass random rows to torch, because pruning does not pay for them.
    monkeypatch.setattr(numba_pruned, "PRUNE_BELOW", 1.0)
    return resolve_backend(request.param, device_of(request.param))


def device_of(name: str) -> str:
    return DEVICE if name == "triton" else "cpu"


def expected(rows: Factors, centers: Factors) -> Tensor:
    dense = [specification.dense(f.logit_grad, f.penultimate) for f in (rows, centers)]
    return specification.min_sq_dist(*dense)


def lower(
    backend: Backend, known: Tensor, rows: Factors, centers: Factors, **more: Any
) -> tuple[Tensor, Any]:
    """Returns ``known`` after an update, and the work of the update."""
    device = device_of(backend.name)
    rows, centers = (Factors(*(t.to(device) for t in f.tensors)) for f in (rows, centers))
    known = known.to(device, copy=True)
    positions = more.pop("positions", torch.arange(len(rows))).to(device)
    work = backend.update(known, rows, positions, centers, **more)
    return known.cpu(), work


def min_sq_dist(backend: Backend, rows: Factors, centers: Factors, **more: Any) -> Tensor:
    known = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    return lower(backend, known, rows, centers, **more)[0]


def assert_near(found: Tensor, wanted: Tensor, rtol: float = 1e-3, atol: float = 1e-9) -> None:
    torch.testing.assert_close(found, wanted, rtol=rtol, atol=atol)


def test_back_ends_are_registered_under_their_names() -> None:
    assert set(backends()) >= {"numba", "reference", "torch", "triton"}
    assert all(found.name == name for name, found in backends().items())


class TestEmbed:
    @pytest.mark.parametrize(("n", "c", "h"), sorted({shape[:3] for shape in SHAPES}))
    @pytest.mark.parametrize("loss", LOSSES)
    def test_gradients_equal_the_specification(
        self, backend: Backend, n: int, c: int, h: int, loss: Loss
    ) -> None:
        if c == 1 and loss == "cross_entropy":
            pytest.skip("one class has no softmax")
        rows = random_factors(n, c, h)
        device = device_of(backend.name)
        grad, sq_norm = backend.embed(
            rows.penultimate.to(device), rows.logit_grad.to(device), loss=loss
        )
        wanted = specification.logit_grad_and_sq_norm(rows.penultimate, rows.logit_grad, loss=loss)
        assert (grad.dtype, sq_norm.dtype) == (torch.float32, torch.float64)
        assert_near(grad.cpu().double(), wanted[0], rtol=1e-5, atol=1e-7)
        assert_near(sq_norm.cpu(), wanted[1], rtol=1e-5)


class TestUpdate:
    @pytest.mark.parametrize(("n", "c", "h", "m"), SHAPES)
    @pytest.mark.parametrize("prune", [True, False])
    def test_distances_equal_the_specification(self, backend, n, c, h, m, prune) -> None:
        rows, centers = random_factors(n, c, h), random_factors(m, c, h, seed=1)
        assert_near(min_sq_dist(backend, rows, centers, prune=prune), expected(rows, centers))

    def test_float64_factors_are_computed_in_float64(self, backend: Backend) -> None:
        if backend.unavailable(torch.device("cpu"), torch.float64):
            pytest.skip("this back end computes in float32")
        rows = random_factors(50, 3, 20, dtype=torch.float64)
        centers = random_factors(9, 3, 20, seed=1, dtype=torch.float64)
        found = min_sq_dist(backend, rows, centers)
        assert_near(found, expected(rows, centers), rtol=1e-12, atol=1e-14)

    def test_distances_are_lowered_to_the_nearest_center_and_never_raised(self, backend) -> None:
        rows, centers = random_factors(70, 3, 8), random_factors(4, 3, 8, seed=1)
        wanted = expected(rows, centers)
        for start in (0.0, float(wanted.median()) + 1e-12):
            known, _ = lower(backend, torch.full((70,), start, dtype=torch.float64), rows, centers)
            assert_near(known, wanted.clamp(max=start))
            # Exactly equal, including digits that float32 does not have.
            assert (known[wanted > 1.01 * start] == start).all()
            assert start == 0.0 or (known < start).any()

    def test_only_the_given_positions_are_updated(self, backend: Backend) -> None:
        rows, centers = random_factors(50, 3, 8), random_factors(4, 3, 8, seed=1)
        some = torch.tensor([40, 3, 17])
        unknown = torch.full((3,), torch.inf, dtype=torch.float64)
        known, _ = lower(backend, unknown, rows, centers, positions=some)
        assert_near(known, expected(rows, centers)[some])

    @pytest.mark.parametrize("prune", [True, False])
    @pytest.mark.parametrize("number", [0, 1, 33, 65])
    def test_only_the_first_number_centers_are_used(self, backend, prune, number) -> None:
        rows, centers = random_factors(70, 7, 20), random_factors(65, 7, 20, seed=1)
        number_of_centers = torch.tensor(number)
        found = min_sq_dist(backend, rows, centers, prune=prune, number=number_of_centers)
        if number:
            assert_near(found, expected(rows, centers.take(slice(0, number))))
        else:
            assert found.isinf().all()

    def test_no_center_from_start_on_is_omitted(self, backend: Backend) -> None:
        rows, centers = random_factors(70, 7, 20), random_factors(192, 7, 20, seed=1)
        starts = torch.linspace(0, 192, 70).long()
        found = min_sq_dist(
            backend, rows, centers, prune=False, starts=starts.to(device_of(backend.name))
        )
        dense = [specification.dense(f.logit_grad, f.penultimate) for f in (rows, centers)]
        pairs = specification.pairwise(*dense)
        for row, start in enumerate(starts.tolist()):
            nearest = float(pairs[row, start:].amin()) if start < 192 else torch.inf
            assert float(pairs[row].amin()) * 0.999 <= found[row] <= nearest * 1.001

    def test_copies_are_at_exactly_distance_zero(self, backend: Backend) -> None:
        rows = random_factors(70, 10, 130)
        rows = rows.take(torch.arange(140) % 70)
        assert (min_sq_dist(backend, rows, rows.take(slice(0, 70))) == 0).all()

    @pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
    def test_distances_of_near_copies_are_accurate(self, backend: Backend, noise: float) -> None:
        base, other = random_factors(60, 10, 130), random_factors(60, 10, 130, seed=1)
        near = Factors.of(
            base.logit_grad + noise * other.logit_grad, base.penultimate + noise * other.penultimate
        )
        wanted = expected(near, base)
        assert_near(min_sq_dist(backend, near, base), wanted, rtol=1e-4, atol=0.0)
        known, _ = lower(backend, 1.01 * wanted, near, base)  # starts just above the result
        assert_near(known, wanted, rtol=1e-4, atol=0.0)

    def test_tiny_gradients_do_not_underflow(self, backend: Backend) -> None:
        rows = random_factors(80, 5, 30)
        tiny = Factors.of(rows.logit_grad * 2.0**-80, rows.penultimate)
        found = min_sq_dist(backend, tiny, tiny.take(slice(0, 7)))
        wanted = expected(rows, rows.take(slice(0, 7))) * 2.0**-160
        assert_near(found, wanted, rtol=1e-4, atol=0.0)

    def test_zero_gradients_are_at_distance_zero(self, backend: Backend) -> None:
        rows = random_factors(30, 5, 8)
        vanished = Factors.of(torch.zeros(30, 5), 1e6 * rows.penultimate)
        assert (min_sq_dist(backend, vanished, vanished.take(slice(0, 1))) == 0).all()
        some = Factors.of(rows.logit_grad * (torch.arange(30) % 3 > 0)[:, None], rows.penultimate)
        found = min_sq_dist(backend, some, some.take(slice(0, 4)))
        assert_near(found, expected(some, some.take(slice(0, 4))))

    def test_rows_and_centers_may_differ_by_25_orders_of_magnitude(self, backend: Backend) -> None:
        base = random_factors(40, 4, 16)
        rows = Factors.of(base.logit_grad * 1e-25, base.penultimate.abs())
        centers = Factors.of(base.logit_grad[:9], base.penultimate[:9].abs())
        found = min_sq_dist(backend, rows, centers, signed=False)
        assert_near(found, expected(rows, centers), rtol=1e-4, atol=0.0)

    def test_large_activations_do_not_overflow(self, backend: Backend) -> None:
        base = random_factors(40, 4, 16)
        rows = Factors.of(base.logit_grad, base.penultimate * 1e19)
        found = min_sq_dist(backend, rows, rows.take(slice(0, 9)))
        wanted = expected(base, base.take(slice(0, 9))) * 1e38
        assert_near(found, wanted, rtol=1e-3, atol=1e28)

    @pytest.mark.parametrize("prune", [True, False])
    @pytest.mark.parametrize("signed", [True, False])
    def test_small_integers_are_exact(self, backend: Backend, prune: bool, signed: bool) -> None:
        rows = small_integers(90, 4, 6)
        centers = rows.take(slice(0, 20))
        found = min_sq_dist(backend, rows, centers, signed=signed, prune=prune)
        assert torch.equal(found, expected(rows, centers))

    @pytest.mark.parametrize("m", [1, 30, 300])
    def test_pruning_changes_nothing(self, backend: Backend, m: int, monkeypatch) -> None:
        monkeypatch.setattr(torch_blocked, "CHUNK", {True: 8})
        random = random_factors(300, 4, 16)
        scale = torch.logspace(-3, 3, 300)[:, None]
        rows = Factors.of(random.logit_grad * scale, random.penultimate.abs())
        centers = rows.take(torch.randperm(300, generator=torch.Generator().manual_seed(m))[:m])
        found = min_sq_dist(backend, rows, centers, signed=False)
        assert_near(found, expected(rows, centers), rtol=1e-4, atol=1e-12)

    @pytest.mark.parametrize("signed", [False, True])
    def test_tight_bounds_rule_out_no_nearest_center(self, backend, signed) -> None:
        # With activations in one direction, the class bound is almost the distance. With many
        # confident rows of each class, the boxes of centers are small.
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(600, 5, generator=generator)
        z[torch.arange(600), torch.arange(600) % 5] += 6
        h = 1.0 + 0.01 * torch.randn(600, 8, generator=generator)
        if signed:
            h *= torch.randn(600, 1, generator=generator).sign()
        rows = Factors.of(logit_grad(z, "cross_entropy"), h)
        known = torch.full((600,), torch.inf, dtype=torch.float64)
        for part in (slice(0, 20), slice(20, 300)):
            known, _ = lower(backend, known, rows, rows.take(part), signed=signed)
        assert_near(known, expected(rows, rows.take(slice(0, 300))), rtol=1e-3, atol=1e-12)


class TestAccept:
    @pytest.mark.parametrize("b", [1, 2, 63, 64, 65, 200])
    @pytest.mark.parametrize("spread", [0.5, 30.0])
    def test_accepted_candidates_equal_the_specification(self, backend, b, spread) -> None:
        rows = small_integers(b, 3, 5, seed=b)
        generator = torch.Generator().manual_seed(b)
        stale = (spread * torch.randint(0, 9, (b,), generator=generator)).double()
        limit = torch.rand(b, generator=generator, dtype=torch.float64) * stale
        wanted = specification.BACKEND.accept(stale, limit, rows, torch.arange(b))
        device = device_of(backend.name)
        there = Factors(*(t.to(device) for t in rows.tensors))
        positions = torch.arange(b, device=device)
        found = backend.accept(stale.to(device), limit.to(device), there, positions)
        number = int(found.number)
        assert number == int(wanted.number)
        assert torch.equal(found.candidates[:number].cpu(), wanted.candidates)
        assert torch.equal(found.gains[:number].cpu(), wanted.gains)
        assert (found.candidates[number:] == found.candidates[:1]).all()

    def test_a_block_without_mass_accepts_no_candidate(self, backend: Backend) -> None:
        device = device_of(backend.name)
        rows = Factors(*(t.to(device) for t in small_integers(70, 3, 5).tensors))
        nothing = torch.zeros(70, dtype=torch.float64, device=device)
        positions = torch.arange(70, device=device)
        assert int(backend.accept(nothing, nothing, rows, positions).number) == 0


class TestBlock:
    """The steps of a block of k-means++, which a back end may fuse, equal the plain definitions."""

    @pytest.mark.parametrize(("n", "b"), [(1, 3), (70, 8), (1500, 100)])
    @pytest.mark.parametrize("is_sorted", [True, False])
    def test_drawn_candidates_equal_the_definition(self, backend, n, b, is_sorted) -> None:
        device = device_of(backend.name)
        generator = torch.Generator().manual_seed(n)
        sq_dist = torch.randint(0, 9, (n,), generator=generator).double() / 7
        sq_dist[0] = 1.0
        positions = torch.randperm(n, generator=generator)
        order = None if is_sorted else positions.argsort()
        uniforms = torch.rand(2, b, generator=generator, dtype=torch.float64)
        mass = Mass.of(sq_dist, n, order)
        slots, weights = mass.draw(uniforms[0])
        there = None if order is None else order.to(device)
        found_mass = backend.mass(sq_dist.to(device), n, there)
        assert torch.equal(found_mass.cumulative.cpu(), mass.cumulative)
        assert float(found_mass.value) == float(mass.value) > 0
        inputs = (tensor.to(device) for tensor in (uniforms, sq_dist, positions))
        found = [tensor.cpu() for tensor in backend.draw(found_mass, *inputs)]
        wanted = slots, positions[slots], sq_dist[slots], uniforms[1] * weights
        for one, other in zip(found, wanted, strict=True):
            assert torch.equal(one, other)

    @pytest.mark.parametrize("value", [0.0, 1e-310, 1e300, math.inf])
    def test_masses_of_any_size(self, backend: Backend, value: float) -> None:
        device = device_of(backend.name)
        sq_dist = torch.tensor([value, 0.0, value / 3], dtype=torch.float64, device=device)
        found, wanted = backend.mass(sq_dist, 3), Mass.of(sq_dist.cpu(), 3)
        assert float(found.value) == float(wanted.value)
        if 0 < value < math.inf:
            assert torch.equal(found.cumulative.cpu(), wanted.cumulative)

    @pytest.mark.parametrize("number", [None, 0, 1, 20])
    @pytest.mark.parametrize("signed", [True, False])
    def test_distances_with_new_centers(self, backend, number, signed) -> None:
        rows = small_integers(90, 3, 5)
        if signed:
            rows = Factors.of(rows.logit_grad, rows.penultimate - 2)
        device = device_of(backend.name)
        there = Factors(*(t.to(device) for t in rows.tensors))
        generator = torch.Generator().manual_seed(0)
        positions = torch.randperm(90, generator=generator)[:80]
        slots = torch.randperm(80, generator=generator)[:33]
        if number is not None:
            slots[number:] = slots[0]
        before = torch.randint(0, 60, (80,), generator=generator).double()
        kept = before.clone().to(device)
        after, work = backend.with_centers(
            kept,
            there,
            positions.to(device),
            slots.to(device),
            signed=signed,
            number=None if number is None else torch.tensor(number, device=device),
        )
        valid = slots if number is None else slots[:number]
        wanted = before.clone()
        if len(valid):
            nearest = expected(rows.take(positions), rows.take(positions[valid]))
            wanted = torch.minimum(before, nearest)
            assert (wanted[valid] == 0).all()
        assert torch.equal(kept.cpu(), before)
        assert torch.equal(after.cpu(), wanted)
        assert int(work.multiplied) <= work.pairs

    @pytest.mark.parametrize("b", [1, 40, 200])
    def test_chosen_rows_and_their_report(self, backend: Backend, b: int) -> None:
        device = device_of(backend.name)
        rows = small_integers(120, 3, 5, seed=b)
        generator = torch.Generator().manual_seed(b)
        positions = torch.randperm(120, generator=generator)
        sq_dist = torch.randint(0, 50, (120,), generator=generator).double()
        uniforms = torch.rand(2, b, generator=generator, dtype=torch.float64)
        reports = []
        for by, where in ((specification.BACKEND, "cpu"), (backend, device)):
            there = Factors(*(t.to(where) for t in rows.tensors))
            known = sq_dist.to(where)
            mass = by.mass(known, 120)
            chosen = by.choose(mass, uniforms.to(where), known, there, positions.to(where))
            number = int(chosen.number)
            report = by.report(chosen, mass, by.mass(known * 0.5, 120)).cpu()
            assert len(report) == 3 + 2 * len(chosen.slots)
            told = (*report[:3].tolist(), *report[3 : 3 + number].tolist())
            gains = report[3 + len(chosen.slots) :][:number]
            reports.append((*told, *gains.tolist(), chosen.slots[:number].tolist()))
        assert reports[0] == reports[1]
