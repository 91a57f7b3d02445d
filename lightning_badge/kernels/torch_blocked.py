"""The kernels in plain torch, as matrix products over blocks of rows: CPU and CUDA.

Precision: long products run in float32, never in TF32 or bfloat16, whatever the process has set. A
pair whose squared distance is below ``FLOAT64_BELOW`` of ``N_i + N_c`` has lost float32's digits to
cancellation and is computed again in float64; below ``DIFFERENCE_FORM_BELOW`` float64's are gone
too, and the difference form, which gives exactly 0 for copies, takes over.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import compress, count
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lightning_badge.kernels.factors import Factors, row_sq_norm

Loss: TypeAlias = Literal["cross_entropy", "binary_cross_entropy"]
_T = TypeVar("_T")

# Rows of a chunk, by whether it is the CPU that computes: a GPU wants fewer, larger products.
CHUNK = {True: 256, False: 8192}
UNPRUNED_CHUNK = 2048
CENTERS = 1024
PAIRS = 1024

FLOAT64_BELOW = 1e-3
DIFFERENCE_FORM_BELOW = 1e-9
# A tile with more float64 pairs than this share is computed in float64 as a whole: gathering the
# pairs of tight clusters one by one would cost far more than their product.
GATHER_AT_MOST = 1 / 32
# Scaled norms this small may have lost their product to underflow.
UNDERFLOW = 1e-30
# Norms come from float64 sums; windows of norms are widened by far more than their roundoff.
SLACK = 1e-9


def logit_grad(logits: Tensor, loss: Loss) -> Tensor:
    """Returns dL/dlogits ``[n, c]`` at the label that the logits ``[n, c]`` favour.

    No entry suffers cancellation: where a prediction is confident, ``softmax - one_hot`` would be
    mostly rounding in the one entry that matters.
    """
    if loss == "cross_entropy":
        grad = logits.softmax(dim=1)
        label = logits.argmax(dim=1, keepdim=True)
        grad.scatter_(1, label, 0.0)
        return grad.scatter_(1, label, -grad.sum(dim=1, keepdim=True))
    return torch.where(logits > 0, -1.0, 1.0).to(logits.dtype) * torch.sigmoid(-logits.abs())


@contextmanager
def full_float32(device_type: str = "cpu") -> Iterator[None]:
    """Forbids TF32 and bfloat16 products inside, and leaves the process's settings as they were."""
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]  # type: ignore[attr-defined]
    settings = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee"
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        for backend, setting in zip(backends, settings, strict=True):
            backend.fp32_precision = setting


def update_min_sq_dist(
    min_sq_dist: Tensor,
    rows: Factors,
    positions: Tensor,
    centers: Factors,
    *,
    prune: bool = True,
) -> int:
    """Lowers ``min_sq_dist`` in place to the squared distance to the nearest center.

    Chunks of rows meet only the centers whose norm lets them be nearer than what some row of the
    chunk has: ``d^2 >= (g_i - g_c)^2``. Rows sorted by norm make that few.

    On a GPU nothing waits for a tile: which of them hold doubtful pairs is asked once, for all.

    Args:
        min_sq_dist: ``[r]`` float64.
        rows: All rows ``[n]``.
        positions: Which of them ``min_sq_dist`` speaks of, ``[r]`` int64.
        centers: ``m`` of them, sorted by norm.
        prune: Whether to look for what the norms rule out.

    Returns:
        How many pairs were multiplied.
    """
    chunk_rows = CHUNK[positions.device.type == "cpu"] if prune else UNPRUNED_CHUNK
    windows = [(0, len(centers))] * -(-len(positions) // chunk_rows)
    if prune:
        norm = rows.sq_norm[positions].sqrt()
        windows = _windows(min_sq_dist, norm, centers.sq_norm.sqrt(), chunk_rows)
    # Powers of two round nothing: products of tiny gradients must not underflow in float32.
    a_scale, h_scale = scales(rows, centers)
    centers = centers.scaled(a_scale, h_scale)
    unit = (a_scale * h_scale) ** 2
    tiles = [
        (slice(start, start + chunk_rows), slice(first, min(first + CENTERS, high)))
        for start, (low, high) in zip(count(0, chunk_rows), windows, strict=False)
        for first in range(low, high, CENTERS)
    ]

    def lower(tile: tuple[slice, slice], by: Callable[[Tensor, Factors, Factors], _T]) -> _T:
        chunk, near = tile
        known = min_sq_dist[chunk] * unit
        tile_rows = rows.take(positions[chunk]).scaled(a_scale, h_scale)
        result = by(known, tile_rows, centers.take(near))
        min_sq_dist[chunk] = known / unit
        return result

    with full_float32(positions.device.type):
        if rows.logit_grad.dtype == torch.float64:
            for tile in tiles:
                lower(tile, _lower_all_in_float64)
        else:
            # Allocated as one: small blocks between large temporaries would pin the heap.
            doubtful = torch.zeros(len(tiles), dtype=torch.bool, device=positions.device)
            for number, tile in enumerate(tiles):
                doubtful[number] = lower(tile, _lower_in_float32)
            for tile in compress(tiles, doubtful.tolist()):
                lower(tile, _lower_doubtful_in_float64)
    return sum(
        len(min_sq_dist[start : start + chunk_rows]) * (high - low)
        for start, (low, high) in zip(count(0, chunk_rows), windows, strict=False)
    )


def scales(rows: Factors, centers: Factors) -> tuple[Tensor, Tensor]:
    """Returns the powers of two ``[]`` that bring the longest factors of both sides near 1."""
    bits = torch.maximum(rows.longest, centers.longest).view(torch.int64)
    exponent = ((bits >> 52) - 1022).clamp(-126, 126)
    a_scale, h_scale = ((1023 - exponent) << 52).view(torch.float64).unbind()
    return a_scale, h_scale


def _windows(
    min_sq_dist: Tensor, norm: Tensor, center_norm: Tensor, chunk_rows: int
) -> list[tuple[int, int]]:
    """Returns for each chunk of rows which of the centers sorted by norm may be nearer."""
    pad = (0, -len(norm) % chunk_rows)
    reach = functional.pad(min_sq_dist, pad).view(-1, chunk_rows).amax(dim=1).sqrt()
    lowest = functional.pad(norm, pad, value=torch.inf).view(-1, chunk_rows).amin(dim=1)
    highest = functional.pad(norm, pad).view(-1, chunk_rows).amax(dim=1)
    widened = reach + SLACK * (highest + reach)
    low = torch.searchsorted(center_norm, (lowest - widened) * (1.0 - SLACK))
    high = torch.searchsorted(center_norm, (highest + widened) * (1.0 + SLACK), right=True)
    low, high = low.where(reach > 0, 0), high.where(reach > 0, 0)
    return [(first, last) for first, last in torch.stack([low, high], dim=1).tolist()]


def _lower_all_in_float64(min_sq_dist: Tensor, rows: Factors, centers: Factors) -> None:
    """Lowers ``min_sq_dist`` ``[r]`` in place by all pairs of a tile."""
    sq_dist = pairwise_sq_dist(rows, centers, known=min_sq_dist)
    torch.minimum(min_sq_dist, sq_dist.amin(dim=1), out=min_sq_dist)


def _lower_in_float32(min_sq_dist: Tensor, rows: Factors, centers: Factors) -> Tensor:
    """Lowers ``min_sq_dist`` ``[r]`` in place by the pairs of a tile that float32 can tell.

    Returns:
        Whether there are others ``[]``.
    """
    sq_dist, doubtful_below = _sq_dist_in_float32(rows, centers)
    doubtful = sq_dist <= doubtful_below
    sq_dist.masked_fill_(doubtful, torch.inf)
    torch.minimum(min_sq_dist, sq_dist.amin(dim=1).double(), out=min_sq_dist)
    return doubtful.any()


def _sq_dist_in_float32(rows: Factors, centers: Factors) -> tuple[Tensor, Tensor]:
    """Returns squared distances ``[r, m]``, and below what each of them has lost its digits."""
    norms = rows.sq_norm.float()[:, None] + centers.sq_norm.float()[None, :]
    sq_dist = torch.addcmul(
        norms,
        rows.logit_grad @ centers.logit_grad.T,
        rows.penultimate @ centers.penultimate.T,
        value=-2.0,
    )
    return sq_dist, norms.mul_(FLOAT64_BELOW).add_(UNDERFLOW)


def _lower_doubtful_in_float64(min_sq_dist: Tensor, rows: Factors, centers: Factors) -> None:
    """Lowers ``min_sq_dist`` ``[r]`` in place by the pairs of a tile that float32 cannot tell."""
    sq_dist, doubtful_below = _sq_dist_in_float32(rows, centers)
    # Only pairs that may still lower something are worth computing again.
    roundoff = _roundoff(rows, torch.float32) / FLOAT64_BELOW * doubtful_below
    doubtful = (sq_dist <= doubtful_below) & (sq_dist - roundoff < min_sq_dist.float()[:, None])
    n_doubtful = int(doubtful.sum())
    if n_doubtful > GATHER_AT_MOST * doubtful.numel():
        sq_dist = pairwise_sq_dist(rows, centers, known=min_sq_dist)
        nearest = sq_dist.masked_fill_(~doubtful, torch.inf).amin(dim=1)
        torch.minimum(min_sq_dist, nearest, out=min_sq_dist)
        return
    row, center = doubtful.nonzero(as_tuple=True)
    for pairs in torch.split(torch.arange(n_doubtful, device=row.device), PAIRS):
        left, right = rows.take(row[pairs]), centers.take(center[pairs])
        a, a_, h, h_ = (
            factor.double()
            for factor in (left.logit_grad, right.logit_grad, left.penultimate, right.penultimate)
        )
        inner = (a * a_).sum(dim=1) * (h * h_).sum(dim=1)
        sq_dist = _settle(left.sq_norm + right.sq_norm - 2.0 * inner, left, right)
        min_sq_dist.scatter_reduce_(0, row[pairs], sq_dist, "amin")


def _roundoff(rows: Factors, dtype: torch.dtype) -> float:
    """Returns the share of ``N_i + N_c`` that factored distances are off by at most.

    A product of ``d`` terms is off by ``d * u / (1 - d * u)`` times both lengths (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1), whatever the order of its sum; twice the
    product of both lengths is at most ``N_i + N_c``. Norms, their sum and the last step cost a few
    ``u`` more. ``eps`` is ``2 u``: this is twice the bound.
    """
    c, h = rows.logit_grad.shape[1], rows.penultimate.shape[1]
    return (c + h + 8) * torch.finfo(dtype).eps


def pairwise_sq_dist(rows: Factors, centers: Factors, *, known: Tensor | None = None) -> Tensor:
    """Returns squared distances ``[r, m]`` in float64, exactly 0 for copies.

    Args:
        rows: ``r`` of them.
        centers: ``m`` of them.
        known: Squared distances ``[r]`` that the caller wants to lower: pairs that cannot are inf.
    """
    inner = rows.logit_grad.double() @ centers.logit_grad.double().T
    inner *= rows.penultimate.double() @ centers.penultimate.double().T
    norms = rows.sq_norm[:, None] + centers.sq_norm[None, :]
    sq_dist = norms - 2.0 * inner
    near = sq_dist < DIFFERENCE_FORM_BELOW * norms
    if known is not None:
        beyond = sq_dist - _roundoff(rows, torch.float64) * norms >= known[:, None]
        near &= ~beyond
        sq_dist.masked_fill_(beyond, torch.inf)
    row, center = near.nonzero(as_tuple=True)
    for pairs in torch.split(torch.arange(len(row), device=row.device), PAIRS):
        left, right = rows.take(row[pairs]), centers.take(center[pairs])
        sq_dist[row[pairs], center[pairs]] = _difference_form(left, right)
    return sq_dist.clamp_(min=0.0)


def _settle(sq_dist: Tensor, left: Factors, right: Factors) -> Tensor:
    """Returns the paired distances ``[p]`` with the nearly coincident ones by the difference."""
    coincident = sq_dist < DIFFERENCE_FORM_BELOW * (left.sq_norm + right.sq_norm)
    if coincident.any():
        which = coincident.nonzero().squeeze(1)
        sq_dist[which] = _difference_form(left.take(which), right.take(which))
    return sq_dist.clamp_(min=0.0)


def _difference_form(left: Factors, right: Factors) -> Tensor:
    """Returns ``|a (x) h - a' (x) h'|^2`` of paired rows ``[p]`` without subtracting norms."""
    a, h = left.logit_grad.double(), left.penultimate.double()
    a_, h_ = right.logit_grad.double(), right.penultimate.double()
    s, t, u, v = (a + a_) / 2, a - a_, (h + h_) / 2, h - h_
    squares = row_sq_norm(s) * row_sq_norm(v) + row_sq_norm(t) * row_sq_norm(u)
    sq_dist: Tensor = squares + 2.0 * (s * t).sum(dim=1) * (u * v).sum(dim=1)
    return sq_dist.clamp_(min=0.0)


def accept(stale: Tensor, uniforms: Tensor, candidates: Factors) -> tuple[Tensor, Tensor]:
    """Walks a block of candidates in order and accepts each with probability now / stale.

    Args:
        stale: Squared distance to the nearest center before the block, ``[b]`` float64.
        uniforms: ``[b]`` float64 in [0, 1).
        candidates: ``b`` of them.

    Returns:
        Which candidates were accepted ``[m]`` int64, and their squared distances to the nearest
        center at that moment ``[m]`` float64.
    """
    sq_dist = pairwise_sq_dist(candidates, candidates).cpu().numpy()
    now, limit = torch.stack([stale, uniforms * stale]).cpu().numpy()
    accepted: list[int] = []
    gains: list[float] = []
    for candidate in range(len(now)):
        if now[candidate] > limit[candidate]:
            accepted.append(candidate)
            gains.append(float(now[candidate]))
            np.minimum(now, sq_dist[candidate], out=now)
    device = stale.device
    return (
        torch.tensor(accepted, dtype=torch.int64).to(device),
        torch.tensor(gains, dtype=torch.float64).to(device),
    )
