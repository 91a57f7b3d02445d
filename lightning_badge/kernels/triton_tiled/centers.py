"""New centers: copied in an order that lets tiles be skipped, and the bounds of their tiles."""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.triton_tiled.arithmetic import (
    CHANGING,
    CLASSES,
    INF,
    launch,
    n_valid,
    sq_norms,
    with_contiguous_rows,
)

# Centers copied by a program, centers that each is compared with at a time, entries of a row that
# are copied at a time.
SIDE, OTHERS, WIDTH, WARPS = 16, 128, 64, 4


class Bounds(NamedTuple):
    """Bounds of tiles of centers, scaled.

    Attributes:
        low: The smallest entry of each class among a tile's logit gradients, ``[tiles, c]``.
        high: The largest likewise.
        norms: The smallest and the largest norm of a tile's embeddings, and the largest of their
            activations, ``[tiles, 3]``.
    """

    low: Tensor
    high: Tensor
    norms: Tensor


@triton.jit(do_not_specialize=CHANGING)
def take_kernel(
    slots,
    number,
    positions,
    label,
    min_sq_dist,
    a,
    h_,
    sq_norm,
    a_norm,
    center_a,
    center_h,
    center_sq_norm,
    center_a_norm,
    multiplied,
    m,
    c,
    h,
    a_stride,
    h_stride,
    SIDE: tl.constexpr,
    OTHERS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    """Copies rows, sorted by label, then norm, and sets their distances and ``multiplied`` to 0."""
    if tl.program_id(0) == 0:
        tl.store(multiplied, tl.zeros([], tl.int64))
    stop = n_valid(m, number)
    k = tl.program_id(0) * SIDE + tl.arange(0, SIDE)
    here = k < stop
    slot = tl.load(slots + k, here, other=0)
    row = tl.load(positions + slot, here, other=0)
    label_k = tl.load(label + row, here, other=0)
    norm_k = tl.load(sq_norm + row, here, other=0.0)
    rank = tl.zeros([SIDE], tl.int32)
    for start in range(0, stop, OTHERS):
        j = start + tl.arange(0, OTHERS)
        there = j < stop
        other = tl.load(positions + tl.load(slots + j, there, other=0), there, other=0)
        label_j = tl.load(label + other, there, other=0)[None, :]
        norm_j = tl.load(sq_norm + other, there, other=0.0)[None, :]
        ties = (norm_j == norm_k[:, None]) & (j[None, :] < k[:, None])
        before = (norm_j < norm_k[:, None]) | ties
        before = (label_j < label_k[:, None]) | ((label_j == label_k[:, None]) & before)
        rank += tl.sum((before & there[None, :]).to(tl.int32), axis=1)
    tl.store(min_sq_dist + slot, tl.zeros([SIDE], tl.float64), here)
    tl.store(center_sq_norm + rank, norm_k, here)
    tl.store(center_a_norm + rank, tl.load(a_norm + row, here, other=0.0), here)
    at = rank.to(tl.int64)
    for start in range(0, c, WIDTH):
        column = start + tl.arange(0, WIDTH)
        inside = here[:, None] & (column < c)[None, :]
        part = tl.load(a + row[:, None] * a_stride + column[None, :], inside, other=0.0)
        tl.store(center_a + at[:, None] * c + column[None, :], part, inside)
    for start in range(0, h, WIDTH):
        column = start + tl.arange(0, WIDTH)
        inside = here[:, None] & (column < h)[None, :]
        part = tl.load(h_ + row[:, None] * h_stride + column[None, :], inside, other=0.0)
        tl.store(center_h + at[:, None] * h + column[None, :], part, inside)


@triton.jit(do_not_specialize=CHANGING)
def bounds_kernel(
    low,
    high,
    norms,
    number,
    scale,
    center_a,
    center_sq_norm,
    center_a_norm,
    m,
    c,
    CENTERS: tl.constexpr,
    CLASSES: tl.constexpr,
):
    """Writes the `Bounds` of a tile of centers."""
    tile = tl.program_id(0)
    stop = n_valid(m, number)
    j = tile * CENTERS + tl.arange(0, CENTERS)
    there = j < stop
    a_scale, h_scale = tl.load(scale), tl.load(scale + 1)
    g_j = tl.sqrt(sq_norms(center_sq_norm, j, there, a_scale * h_scale * a_scale * h_scale))
    a_j = (tl.load(center_a_norm + j, there, other=0.0) * a_scale).to(tl.float32)
    h_j = g_j / tl.where(a_j > 0, a_j, 1.0)
    tl.store(norms + 3 * tile, tl.min(tl.where(there, g_j, INF), axis=0))
    tl.store(norms + 3 * tile + 1, tl.max(g_j, axis=0))
    tl.store(norms + 3 * tile + 2, tl.max(h_j, axis=0))
    at, first = j.to(tl.int64), tile.to(tl.int64) * c
    for start in range(0, c, CLASSES):
        k = start + tl.arange(0, CLASSES)
        inside = there[:, None] & (k < c)[None, :]
        part = tl.load(center_a + at[:, None] * c + k[None, :], inside, other=0.0)
        part = part.to(tl.float32) * a_scale.to(tl.float32)
        tl.store(low + first + k, tl.min(tl.where(inside, part, INF), axis=0), k < c)
        tl.store(high + first + k, tl.max(tl.where(inside, part, -INF), axis=0), k < c)


def take(
    min_sq_dist: Tensor, rows: Factors, positions: Tensor, slots: Tensor, number: Tensor | None
) -> tuple[Factors, Tensor]:
    """Returns the rows in slots ``[m]``, sorted by label and norm, and sets their distances to 0.

    Args:
        min_sq_dist: ``[r]`` float64, contiguous; changed in place.
        rows: All rows ``[n]``.
        positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
        slots: Distinct indices into ``positions``, ``[m]`` int64.
        number: Only the first ``number`` slots are valid, ``[]``; the results after those are not
            written. None: all are valid.

    Returns:
        The rows, and a 0 ``[]`` int64 to count products.
    """
    m, c, h = len(slots), rows.logit_grad.shape[1], rows.penultimate.shape[1]
    a, h_ = with_contiguous_rows(rows.logit_grad), with_contiguous_rows(rows.penultimate)
    norms = rows.sq_norm.new_empty(2, m)
    multiplied = positions.new_empty(())
    centers = Factors(a.new_empty(m, c), h_.new_empty(m, h), *norms.unbind())
    launch(
        take_kernel, (triton.cdiv(m, SIDE),),
        slots, number, positions, rows.label, min_sq_dist,
        a, h_, rows.sq_norm, rows.logit_grad_norm, *centers.tensors, multiplied,
        m, c, h, a.stride(0), h_.stride(0),
        SIDE=SIDE, OTHERS=OTHERS, WIDTH=WIDTH, num_warps=WARPS,
    )  # fmt: skip
    return centers, multiplied


def bounds(centers: Factors, number: Tensor | None, scale: Tensor, tile_centers: int) -> Bounds:
    """Returns the bounds of tiles of adjacent centers.

    Args:
        centers: ``m`` centers, contiguous.
        number: Only the first ``number`` centers are valid, ``[]``; None: all are valid.
        scale: Factors of the logit gradients and of the activations, ``[2]`` float64.
        tile_centers: Centers of a tile.
    """
    m, c = len(centers), centers.logit_grad.shape[1]
    tiles = triton.cdiv(m, tile_centers)
    low, high = centers.logit_grad.new_empty(2, tiles, c, dtype=torch.float32).unbind()
    norms = low.new_empty(tiles, 3)
    launch(
        bounds_kernel, (tiles,),
        low, high, norms, number, scale,
        centers.logit_grad, centers.sq_norm, centers.logit_grad_norm, m, c,
        CENTERS=tile_centers, CLASSES=CLASSES, num_warps=WARPS,
    )  # fmt: skip
    return Bounds(low, high, norms)
