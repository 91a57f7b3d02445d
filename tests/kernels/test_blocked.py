import pytest
import torch

from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels import (
    Factors,
    logit_grad_and_sq_norm,
    reference,
    resolve_backend,
    update_min_sq_dist,
)

SHAPES = [
    (n, c, h, m)
    for n in (1, 63, 100)
    for c, h in ((1, 1), (2, 41), (7, 300), (130, 41))
    for m in (1, 5, 65)
]


def factors(n: int, c: int, h: int, seed: int = 0) -> Factors:
    generator = torch.Generator().manual_seed(seed)
    return Factors.of(
        torch.randn(n, c, generator=generator), torch.randn(n, h, generator=generator)
    )


@pytest.mark.parametrize(("n", "c", "h", "m"), SHAPES)
def test_logit_grad_and_sq_norm_are_the_reference(n: int, c: int, h: int, m: int) -> None:
    logits, penultimate = factors(n, c, h)[:2]
    loss = "binary_cross_entropy" if c in (1, 7) else "cross_entropy"
    grad, sq_norm = logit_grad_and_sq_norm(penultimate, logits, loss=loss)
    expected_grad, expected_norm = reference.logit_grad_and_sq_norm(penultimate, logits, loss=loss)
    torch.testing.assert_close(grad.double(), expected_grad, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(sq_norm, expected_norm, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("n", "c", "h", "m"), SHAPES)
def test_min_sq_dist_is_the_reference(n: int, c: int, h: int, m: int) -> None:
    rows, centers = factors(n, c, h), factors(m, c, h, seed=1)
    known = torch.full((n,), torch.inf, dtype=torch.float64)
    update_min_sq_dist(known, rows, centers)
    expected = reference.min_sq_dist(reference.dense(*rows[:2]), reference.dense(*centers[:2]))
    torch.testing.assert_close(known, expected, rtol=1e-9, atol=1e-12)


def test_min_sq_dist_only_falls() -> None:
    rows = factors(50, 3, 8)
    known = torch.zeros(50, dtype=torch.float64)
    update_min_sq_dist(known, rows, factors(4, 3, 8, seed=1))
    assert (known == 0).all()


def test_copies_are_at_distance_zero_exactly() -> None:
    rows = factors(200, 10, 512)
    known = torch.full((200,), torch.inf, dtype=torch.float64)
    update_min_sq_dist(known, rows, rows)
    assert (known == 0).all()


def test_near_copies_keep_their_digits() -> None:
    base = factors(100, 10, 512)
    noise = factors(100, 10, 512, seed=1)
    near = Factors.of(
        base.logit_grad.double() + 1e-7 * noise.logit_grad,
        base.penultimate.double() + 1e-7 * noise.penultimate,
    )
    for row in range(0, 100, 10):
        position = torch.tensor([row])
        known = torch.full((1,), torch.inf, dtype=torch.float64)
        update_min_sq_dist(known, near.take(position), base.take(position))
        dense = [reference.dense(*f.take(position)[:2]) for f in (near, base)]
        torch.testing.assert_close(known, reference.min_sq_dist(*dense), rtol=1e-6, atol=0.0)


def test_an_unknown_backend_lists_the_known_ones() -> None:
    with pytest.raises(BadgeError, match="auto, torch, got 'cuda'"):
        resolve_backend("cuda")
