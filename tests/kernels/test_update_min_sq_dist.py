"""Every back end's distances are the reference's: on odd shapes, near copies, tiny gradients."""

import pytest
import torch

from lightning_badge import kernels
from lightning_badge.kernels import (
    Factors,
    logit_grad_and_sq_norm,
    reference,
    torch_blocked,
    update_min_sq_dist,
)

BACKENDS = ["torch", "numba"]


@pytest.fixture(autouse=True)
def _always_prune(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise random rows, which nothing prunes, would all go to the other back end."""
    monkeypatch.setattr(kernels, "PRUNE_BELOW", 1.0)


SHAPES = [
    (n, c, h, m)
    for n in (1, 63, 100, 257)
    for c, h in ((1, 1), (2, 41), (7, 300), (130, 41))
    for m in (1, 5, 65)
]


def factors(n: int, c: int, h: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    a = torch.randn(n, c, generator=generator).to(dtype)
    return Factors.of(a, torch.randn(n, h, generator=generator).to(dtype))


def min_sq_dist(
    rows: Factors, centers: Factors, backend: str, *, signed: bool = True
) -> torch.Tensor:
    known = torch.full((len(rows),), torch.inf, dtype=torch.float64)
    everyone = torch.arange(len(rows))
    update_min_sq_dist(known, rows, everyone, centers, signed=signed, backend=backend)
    return known


def expected(rows: Factors, centers: Factors) -> torch.Tensor:
    dense = [reference.dense(f.logit_grad, f.penultimate) for f in (rows, centers)]
    return reference.min_sq_dist(*dense)


@pytest.mark.parametrize(("n", "c", "h", "m"), SHAPES)
def test_logit_grad_and_sq_norm_are_the_reference(n: int, c: int, h: int, m: int) -> None:
    rows = factors(n, c, h)
    loss = "binary_cross_entropy" if c in (1, 7) else "cross_entropy"
    grad, sq_norm = logit_grad_and_sq_norm(rows.penultimate, rows.logit_grad, loss=loss)
    wanted = reference.logit_grad_and_sq_norm(rows.penultimate, rows.logit_grad, loss=loss)
    torch.testing.assert_close(grad.double(), wanted[0], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(sq_norm, wanted[1], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
class TestEveryBackend:
    @pytest.mark.parametrize(("n", "c", "h", "m"), SHAPES)
    def test_distances_are_the_reference(self, backend, n, c, h, m) -> None:
        rows, centers = factors(n, c, h), factors(m, c, h, seed=1)
        known = min_sq_dist(rows, centers, backend)
        torch.testing.assert_close(known, expected(rows, centers), rtol=1e-3, atol=1e-9)

    def test_float64_factors_keep_their_digits(self, backend: str) -> None:
        rows = factors(50, 3, 20, dtype=torch.float64)
        centers = factors(9, 3, 20, seed=1, dtype=torch.float64)
        known = min_sq_dist(rows, centers, backend)
        torch.testing.assert_close(known, expected(rows, centers), rtol=1e-12, atol=1e-14)

    def test_what_is_known_only_falls(self, backend: str) -> None:
        rows, centers = factors(50, 3, 8), factors(4, 3, 8, seed=1)
        for start in (0.0, 3.0):
            known = torch.full((50,), start, dtype=torch.float64)
            update_min_sq_dist(known, rows, torch.arange(50), centers, backend=backend)
            assert (known <= start).all()

    def test_only_the_rows_asked_for_are_looked_at(self, backend: str) -> None:
        rows, centers = factors(50, 3, 8), factors(4, 3, 8, seed=1)
        some = torch.tensor([40, 3, 17])
        known = torch.full((3,), torch.inf, dtype=torch.float64)
        update_min_sq_dist(known, rows, some, centers, backend=backend)
        wanted = expected(rows, centers)[some]
        torch.testing.assert_close(known, wanted, rtol=1e-3, atol=1e-9)

    def test_copies_are_at_distance_zero_exactly(self, backend: str) -> None:
        rows = factors(200, 10, 512)
        assert (min_sq_dist(rows, rows, backend) == 0).all()

    @pytest.mark.parametrize("noise", [1e-2, 1e-4, 1e-6])
    def test_near_copies_keep_their_digits(self, backend: str, noise: float) -> None:
        base, other = factors(60, 10, 512), factors(60, 10, 512, seed=1)
        near = Factors.of(
            base.logit_grad + noise * other.logit_grad, base.penultimate + noise * other.penultimate
        )
        known = min_sq_dist(near, base, backend)
        torch.testing.assert_close(known, expected(near, base), rtol=1e-4, atol=0.0)

    def test_tiny_gradients_do_not_underflow(self, backend: str) -> None:
        rows = factors(80, 5, 30)
        tiny = Factors.of(rows.logit_grad * 2.0**-80, rows.penultimate)
        known = min_sq_dist(tiny, tiny.take(slice(0, 7)), backend)
        wanted = expected(rows, rows.take(slice(0, 7))) * 2.0**-160
        torch.testing.assert_close(known, wanted, rtol=1e-4, atol=0.0)

    def test_small_integers_are_exact(self, backend: str) -> None:
        generator = torch.Generator().manual_seed(0)
        a = torch.randint(-3, 4, (90, 4), generator=generator).float()
        h = torch.randint(0, 4, (90, 6), generator=generator).float()
        rows = Factors.of(a, h)
        centers = rows.take(slice(0, 20))
        for signed in (True, False):
            known = min_sq_dist(rows, centers, backend, signed=signed)
            assert torch.equal(known, expected(rows, centers))

    def test_pruning_changes_nothing(self, backend: str, monkeypatch) -> None:
        monkeypatch.setattr(torch_blocked, "CHUNK", {True: 8})
        scale = torch.logspace(-3, 3, 300)[:, None]
        random = factors(300, 4, 16)
        rows = Factors.of(random.logit_grad * scale, random.penultimate.abs())
        for m in (1, 30, 300):
            centers = rows.take(torch.randperm(300, generator=torch.Generator().manual_seed(m))[:m])
            known = min_sq_dist(rows, centers, backend, signed=False)
            torch.testing.assert_close(known, expected(rows, centers), rtol=1e-4, atol=1e-12)

    @pytest.mark.parametrize("signed", [False, True])
    def test_nothing_near_is_ruled_out_where_bounds_are_tight(self, backend, signed) -> None:
        # Activations of one direction make the class side's bound the distance itself; many
        # confident rows of each class make boxes of centers that lie close together.
        generator = torch.Generator().manual_seed(0)
        z = torch.randn(2000, 5, generator=generator)
        z[torch.arange(2000), torch.arange(2000) % 5] += 6
        h = 1.0 + 0.01 * torch.randn(2000, 8, generator=generator)
        if signed:
            h *= torch.randn(2000, 1, generator=generator).sign()
        rows = Factors.of(torch_blocked.logit_grad(z, "cross_entropy"), h)
        known = torch.full((2000,), torch.inf, dtype=torch.float64)
        everyone = torch.arange(2000)
        for part in (slice(0, 20), slice(20, 700)):
            centers = rows.take(part)
            update_min_sq_dist(known, rows, everyone, centers, signed=signed, backend=backend)
        torch.testing.assert_close(
            known, expected(rows, rows.take(slice(0, 700))), rtol=1e-3, atol=1e-12
        )


def test_pruning_saves_most_products_where_norms_are_concentrated(monkeypatch) -> None:
    monkeypatch.setattr(torch_blocked, "CHUNK", {True: 32})
    scale = torch.logspace(-3, 0, 3000)[:, None]
    random = factors(3000, 10, 64)
    rows = Factors.of(random.logit_grad * scale, random.penultimate.abs())
    centers = rows.take(torch.arange(0, 3000, 5))
    for backend, share in (("torch", 0.75), ("numba", 0.1)):
        known = torch.full((3000,), torch.inf, dtype=torch.float64)
        everyone = torch.arange(3000)
        for half in (slice(0, None, 2), slice(1, None, 2)):
            work = update_min_sq_dist(
                known, rows, everyone, centers.take(half), signed=False, backend=backend
            )
        assert work.pairs == 3000 * 300
        assert work.multiplied < share * work.pairs


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_a_leaked_matmul_precision_changes_nothing_and_is_left_alone(precision: str) -> None:
    rows, centers = factors(100, 10, 300), factors(20, 10, 300, seed=1)
    honest = min_sq_dist(rows, centers, "torch")
    torch.set_float32_matmul_precision(precision)
    try:
        assert torch.equal(min_sq_dist(rows, centers, "torch"), honest)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_flags_of_one_backend_change_nothing_and_are_left_alone() -> None:
    rows, centers = factors(100, 10, 300), factors(20, 10, 300, seed=1)
    honest = min_sq_dist(rows, centers, "torch")
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        assert torch.equal(min_sq_dist(rows, centers, "torch"), honest)
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_autocast_around_an_ordering_changes_nothing() -> None:
    rows, centers = factors(100, 10, 300), factors(20, 10, 300, seed=1)
    honest = min_sq_dist(rows, centers, "torch")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(min_sq_dist(rows, centers, "torch"), honest)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_and_centers_may_lie_thirty_decades_apart(backend: str) -> None:
    base = factors(40, 4, 16)
    rows = Factors.of(base.logit_grad * 1e-25, base.penultimate.abs())
    centers = Factors.of(base.logit_grad[:9], base.penultimate[:9].abs())
    known = min_sq_dist(rows, centers, backend, signed=False)
    torch.testing.assert_close(known, expected(rows, centers), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_activations_do_not_overflow(backend: str) -> None:
    base = factors(40, 4, 16)
    rows = Factors.of(base.logit_grad, base.penultimate * 1e19)
    known = min_sq_dist(rows, rows.take(slice(0, 9)), backend)
    wanted = expected(base, base.take(slice(0, 9))) * 1e38
    torch.testing.assert_close(known, wanted, rtol=1e-3, atol=1e28)
