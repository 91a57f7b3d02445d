"""The back end ``torch``: matrix products over blocks of rows, on any device.

``precision`` says how digits are kept.
"""

from collections.abc import Callable
from itertools import compress, count
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lightning_badge.kernels.backend import Accepted, Backend, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.pairwise import PAIRS, pairwise_sq_dist, settle
from lightning_badge.kernels.precision import (
    FLOAT64_BELOW,
    UNDERFLOW,
    full_float32,
    roundoff,
    scales,
)

_T = TypeVar("_T")

# Rows of a chunk, by whether it is the CPU that computes: a GPU wants fewer, larger products.
CHUNK = {True: 256, False: 8192}
UNPRUNED_CHUNK = 2048
CENTERS = 1024
# A tile with more float64 pairs than this share is computed in float64 as a whole: gathering the
# pairs of tight clusters one by one would cost far more than their product.
GATHER_AT_MOST = 1 / 32
# Norms come from float64 sums; windows of norms are widened by far more than their roundoff.
SLACK = 1e-9


class TorchBackend(Backend):
    """Needs nothing but torch."""

    name = "torch"

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """See `Backend.unavailable`: computes anywhere."""
        del device, dtype
        return None

    def preference(self, device: torch.device, n: int) -> int:
        """Taken where nothing faster is at hand."""
        del device, n
        return 1

    def update(
        self,
        min_sq_dist: Tensor,
        rows: Factors,
        positions: Tensor,
        centers: Factors,
        *,
        signed: bool = True,
        prune: bool = True,
        number: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> Work:
        """See `Backend.update`."""
        del signed, starts
        centers = centers.first(number)
        if not len(positions) or not len(centers):
            return Work(0, 0)
        centers = centers.take(torch.argsort(centers.sq_norm, stable=True))
        multiplied = update_min_sq_dist(min_sq_dist, rows, positions, centers, prune=prune)
        return Work(len(positions) * len(centers), multiplied)

    def accept(
        self, sq_dist: Tensor, limit: Tensor, candidates: Factors, *, signed: bool = True
    ) -> Accepted:
        """See `Backend.accept`."""
        del signed
        between = pairwise_sq_dist(candidates, candidates).cpu().numpy()
        now, limits = torch.stack([sq_dist, limit]).cpu().numpy()
        accepted: list[int] = []
        gains: list[float] = []
        for candidate in range(len(now)):
            if now[candidate] > limits[candidate]:
                accepted.append(candidate)
                gains.append(float(now[candidate]))
                np.minimum(now, between[candidate], out=now)
        return Accepted.all_of(
            torch.tensor(accepted, dtype=torch.int64).to(sq_dist.device),
            torch.tensor(gains, dtype=torch.float64).to(sq_dist.device),
        )


BACKEND = TorchBackend()


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
        Whether there are others that may lower something ``[]``: not of rows that are at 0, which
        every chosen row is.
    """
    sq_dist, doubtful_below = _sq_dist_in_float32(rows, centers)
    doubtful = sq_dist <= doubtful_below
    sq_dist.masked_fill_(doubtful, torch.inf)
    torch.minimum(min_sq_dist, sq_dist.amin(dim=1).double(), out=min_sq_dist)
    return (doubtful.any(dim=1) & (min_sq_dist > 0)).any()


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
    error = roundoff(rows, torch.float32) / FLOAT64_BELOW * doubtful_below
    doubtful = (sq_dist <= doubtful_below) & (sq_dist - error < min_sq_dist.float()[:, None])
    doubtful &= (min_sq_dist > 0)[:, None]
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
        sq_dist = settle(left.sq_norm + right.sq_norm - 2.0 * inner, left, right)
        min_sq_dist.scatter_reduce_(0, row[pairs], sq_dist, "amin")
