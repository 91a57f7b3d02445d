"""The float64 part of an update: tiles in which float32 lost its digits to cancellation."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.triton_tiled.arithmetic import (
    CHANGING,
    EXACT_DEPTH,
    EXACT_SIDE,
    EXACT_WARPS,
    INF,
    exact_sq_dist,
    launch,
    n_valid,
)


@triton.jit(do_not_specialize=CHANGING)
def settle_kernel(
    min_sq_dist,
    doubtful_tiles,
    positions,
    number,
    a,
    h_,
    sq_norm,
    center_a,
    center_h,
    center_sq_norm,
    r,
    m,
    c,
    h,
    a_stride,
    h_stride,
    ROWS: tl.constexpr,
    CENTERS: tl.constexpr,
    SIDE: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Lowers ``min_sq_dist`` ``[r]`` with all pairs of the marked tiles, in float64.

    ``CENTERS`` and ``ROWS`` are the sides of the marked tiles, multiples of ``SIDE``.
    """
    first = tl.program_id(0).to(tl.int64) * SIDE
    slot = first + tl.arange(0, SIDE)
    here = slot < r
    known = tl.load(min_sq_dist + slot, here, other=0.0)
    stop = n_valid(m, number)
    marks = tl.load(doubtful_tiles + first // ROWS)
    start = 0
    while marks != 0:
        if (marks & 1 != 0) & (tl.max(known, axis=0) > 0):
            # Loaded here, because keeping them in registers would cause spills.
            row = tl.load(positions + slot, here, other=0)
            n_i = tl.load(sq_norm + row, here, other=0.0)
            for part in range(0, CENTERS, SIDE):
                j = start + part + tl.arange(0, SIDE)
                there = j < stop
                at = j.to(tl.int64)
                n_j = tl.load(center_sq_norm + j, there, other=0.0)
                sq_dist = exact_sq_dist(
                    a, h_, n_i, row, here, a_stride, h_stride,
                    center_a, center_h, n_j, at, there, c, h,
                    known, None, c, h, SIDE, DEPTH,
                )  # fmt: skip
                nearest = tl.min(tl.where(there[None, :], sq_dist, INF), axis=1)
                known = tl.minimum(known, nearest)
        marks = (marks >> 1) & 0x7FFFFFFFFFFFFFFF  # without the sign
        start += CENTERS
    before = tl.load(min_sq_dist + slot, here, other=0.0)
    tl.store(min_sq_dist + slot, known, here & (known < before))


def settle(
    min_sq_dist: Tensor,
    doubtful_tiles: Tensor,
    positions: Tensor,
    number: Tensor | None,
    rows: Factors,
    centers: Factors,
    *,
    tile_rows: int,
    tile_centers: int,
) -> None:
    """Lowers ``min_sq_dist`` in place with all pairs of the marked tiles, in float64.

    Args:
        min_sq_dist: ``[r]`` float64, contiguous.
        doubtful_tiles: Marks of the tiles, ``[row tiles]`` int64: a bit for each tile of centers.
        positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64, contiguous.
        number: Use only the first ``number`` centers, ``[]`` int64; None uses all of them.
        rows: All rows ``[n]``, each row contiguous.
        centers: ``m`` centers, contiguous.
        tile_rows: Rows of a tile, a multiple of ``EXACT_SIDE``.
        tile_centers: Centers of a tile, a multiple of ``EXACT_SIDE``.
    """
    r, m = len(positions), len(centers)
    a, h_ = rows.logit_grad, rows.penultimate
    launch(
        settle_kernel, (triton.cdiv(r, EXACT_SIDE),),
        min_sq_dist, doubtful_tiles, positions, number, a, h_, rows.sq_norm,
        centers.logit_grad, centers.penultimate, centers.sq_norm,
        r, m, a.shape[1], h_.shape[1], a.stride(0), h_.stride(0),
        ROWS=tile_rows, CENTERS=tile_centers, SIDE=EXACT_SIDE, DEPTH=EXACT_DEPTH,
        num_warps=EXACT_WARPS,
    )  # fmt: skip
