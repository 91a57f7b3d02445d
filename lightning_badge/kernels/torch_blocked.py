"""The back end ``torch``: matrix products over blocks of rows, on any device.

See ``precision`` for where it uses float32 and where float64.
"""

from collections.abc import Callable
from itertools import compress, count
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from lightning_badge.kernels.backend import Accepted, Backend, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.pairwise import PAIRS, pairwise_sq_dist, recompute_coincident
from lightning_badge.kernels.precision import (
    FLOAT64_BELOW,
    UNDERFLOW,
    full_float32,
    roundoff,
    scales,
)

_T = TypeVar("_T")

# Rows of a chunk; the key is whether the device is the CPU. A GPU needs fewer, larger products.
CHUNK = {True: 256, False: 8192}
UNPRUNED_CHUNK = 2048
CENTERS = 1024
# If more than this share of a tile's pairs needs float64, the whole tile is computed in float64:
# for tight clusters, gathering the pairs would cost far more than the matrix product.
GATHER_AT_MOST = 1 / 32
# Relative widening of norm windows, far above the roundoff of norms, which are float64 sums.
SLACK = 1e-9


class TorchBackend(Backend):
    """Blocked matrix products; the only dependency is torch."""

    name = "torch"

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """See `Backend.unavailable`: any device."""
        del device, dtype
        return None

    def preference(self, device: torch.device, n: int) -> int:
        """See `Backend.preference`: the lowest priority."""
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
        arranged: Any = None,
    ) -> Work:
        """See `Backend.update`."""
        del signed, starts, arranged
        centers = centers.first(number)
        if not len(positions) or not len(centers):
            return Work(0, 0)
        centers = centers.take(torch.argsort(centers.sq_norm, stable=True))
        multiplied = update_min_sq_dist(min_sq_dist, rows, positions, centers, prune=prune)
        return Work(len(positions) * len(centers), multiplied)

    def accept(
        self,
        sq_dist: Tensor,
        limit: Tensor,
        rows: Factors,
        positions: Tensor,
        *,
        signed: bool = True,
    ) -> Accepted:
        """See `Backend.accept`."""
        del signed
        candidates = rows.take(positions)
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

    A chunk of rows is compared only with centers that may be nearer than the current nearest center
    of some row of the chunk. By norms ``g``, a squared distance is at least ``(g_i - g_c)^2``. This
    prunes most pairs if the rows are sorted by norm.

    All tiles run in float32 first, without a host sync between them. One transfer then reports
    which tiles contain pairs that need float64.

    Args:
        min_sq_dist: ``[r]`` float64.
        rows: All rows ``[n]``.
        positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
        centers: ``m`` centers, sorted by norm.
        prune: Whether to skip centers that the norms rule out.

    Returns:
        Number of pairs that were multiplied.
    """
    chunk_rows = CHUNK[positions.device.type == "cpu"] if prune else UNPRUNED_CHUNK
    windows = [(0, len(centers))] * -(-len(positions) // chunk_rows)
    if prune:
        norm = rows.sq_norm[positions].sqrt()
        windows = _windows(min_sq_dist, norm, centers.sq_norm.sqrt(), chunk_rows)
    # Scaling keeps products of tiny gradients from underflow in float32. Powers of two are exact.
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
            # One allocation: many small ones between large temporaries would fragment the heap.
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
    """Returns the range of norm-sorted centers that each chunk of rows has to be compared with."""
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
    """Lowers ``min_sq_dist`` ``[r]`` in place with all pairs of a tile, in float64."""
    sq_dist = pairwise_sq_dist(rows, centers, known=min_sq_dist)
    torch.minimum(min_sq_dist, sq_dist.amin(dim=1), out=min_sq_dist)


def _lower_in_float32(min_sq_dist: Tensor, rows: Factors, centers: Factors) -> Tensor:
    """Lowers ``min_sq_dist`` ``[r]`` in place with the pairs that float32 resolves.

    Returns:
        Whether the tile contains doubtful pairs, which need float64, ``[]`` bool. Rows at distance
        0, such as all chosen rows, cannot become nearer and do not count.
    """
    sq_dist, doubtful_below = _sq_dist_in_float32(rows, centers)
    doubtful = sq_dist <= doubtful_below
    sq_dist.masked_fill_(doubtful, torch.inf)
    torch.minimum(min_sq_dist, sq_dist.amin(dim=1).double(), out=min_sq_dist)
    return (doubtful.any(dim=1) & (min_sq_dist > 0)).any()


def _sq_dist_in_float32(rows: Factors, centers: Factors) -> tuple[Tensor, Tensor]:
    """Returns squared distances ``[r, m]``, and the values below which they are too inexact."""
    norms = rows.sq_norm.float()[:, None] + centers.sq_norm.float()[None, :]
    sq_dist = torch.addcmul(
        norms,
        rows.logit_grad @ centers.logit_grad.T,
        rows.penultimate @ centers.penultimate.T,
        value=-2.0,
    )
    return sq_dist, norms.mul_(FLOAT64_BELOW).add_(UNDERFLOW)


def _lower_doubtful_in_float64(min_sq_dist: Tensor, rows: Factors, centers: Factors) -> None:
    """Lowers ``min_sq_dist`` ``[r]`` in place with the pairs that float32 does not resolve."""
    sq_dist, doubtful_below = _sq_dist_in_float32(rows, centers)
    # Recompute only pairs that may lower a distance.
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
        sq_dist = recompute_coincident(left.sq_norm + right.sq_norm - 2.0 * inner, left, right)
        min_sq_dist.scatter_reduce_(0, row[pairs], sq_dist, "amin")
