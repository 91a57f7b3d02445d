"""Minimum distances of all rows to new centers, in tiles of rows and centers.

A tile accumulates two inner products, over the classes and over the width, and writes only the
minimum. It tests bounds from the norms, then from the class products, and multiplies the
activations only if a pair of the tile may lower a minimum (the bounds are those of
``numba_pruned``). ``settle`` then recomputes in float64 the tiles in which float32 lost its digits.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.precision import FLOAT64_BELOW, UNDERFLOW, scales
from lightning_badge.kernels.triton_tiled.arithmetic import (
    CHANGING,
    INF,
    add_product,
    launch,
    most_registers,
    with_contiguous_rows,
)
from lightning_badge.kernels.triton_tiled.settle import settle

# tf32x3 omits the smallest of its TF32 products: at most 2^-20 of the product of the norms.
TF32X3_ERROR = 2.0**-19

_FLOAT64_BELOW = tl.constexpr(FLOAT64_BELOW)
_UNDERFLOW = tl.constexpr(UNDERFLOW)


class Tile(NamedTuple):
    """The launch parameters of `update_kernel`.

    Attributes:
        rows: Rows of a tile.
        centers: Centers of a tile.
        depth: Terms of an inner product that are loaded at a time.
        warps: Warps of a program.
        stages: Stages of the software pipeline that prefetches loads.
    """

    rows: int
    centers: int
    depth: int
    warps: int
    stages: int


@triton.jit
def _sq_norms(sq_norm, at, inside, unit):
    """Returns squared norms times ``unit`` in float32, 0 outside."""
    return (tl.load(sq_norm + at, inside, other=0.0) * unit).to(tl.float32)


@triton.jit(do_not_specialize=CHANGING)
def update_kernel(
    min_sq_dist,
    doubtful_tiles,
    multiplied,
    positions,
    starts,
    number,
    scale,
    a,
    h_,
    sq_norm,
    a_norm,
    center_a,
    center_h,
    center_sq_norm,
    center_a_norm,
    r,
    m,
    c,
    h,
    a_stride,
    h_stride,
    class_error,
    error,
    ROWS: tl.constexpr,
    CENTERS: tl.constexpr,
    DEPTH: tl.constexpr,
    SIGNED: tl.constexpr,
    PRUNE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Lowers ``min_sq_dist`` ``[r]`` with the pairs that float32 resolves.

    Marks the tiles that contain doubtful pairs, which need float64.
    """
    tile = tl.program_id(0)
    slot = tile.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = slot < r
    row = tl.load(positions + slot, here, other=0)
    a_scale, h_scale = tl.load(scale), tl.load(scale + 1)
    unit = a_scale * h_scale * a_scale * h_scale
    before = tl.load(min_sq_dist + slot, here, other=0.0) * unit
    known = before.to(tl.float32)
    open_ = before > 0
    n_i = _sq_norms(sq_norm, row, here, unit)
    g_i = tl.sqrt(n_i)
    a_i = (tl.load(a_norm + row, here, other=0.0) * a_scale).to(tl.float32)
    h_i = g_i / tl.where(a_i > 0, a_i, 1.0)
    nearest_i = tl.min(tl.where(open_, g_i, INF), axis=0)
    farthest_i = tl.max(tl.where(open_, g_i, 0.0), axis=0)
    stop = m
    if number is not None:
        stop = tl.minimum(m, tl.load(number).to(tl.int32))
    first = 0
    if starts is not None:
        first = tl.min(tl.load(starts + slot, here, other=m), axis=0).to(tl.int32)
        first = first // CENTERS * CENTERS
    n_tiles = tl.cdiv(m, CENTERS)
    n_multiplied = 0
    for start in range(first, stop, CENTERS):
        j = start + tl.arange(0, CENTERS)
        there = j < stop
        pairs = open_[:, None] & there[None, :]
        wanted = True
        if PRUNE:
            n_j = _sq_norms(center_sq_norm, j, there, unit)
            g_j = tl.sqrt(n_j)
            nearest_j = tl.min(tl.where(there, g_j, INF), axis=0)
            farthest_j = tl.max(tl.where(there, g_j, 0.0), axis=0)
            gap = tl.maximum(tl.maximum(nearest_j - farthest_i, nearest_i - farthest_j), 0.0)
            reach = tl.max(tl.where(open_, known, 0.0), axis=0)
            largest = farthest_i * farthest_i + farthest_j * farthest_j
            wanted = (gap * gap - class_error * largest < reach) | (largest <= _UNDERFLOW)
        if wanted:
            at = j.to(tl.int64)
            # Positions and norms are reloaded where they are used: keeping them and their addresses
            # in registers during the products would cause spills.
            row = tl.load(positions + slot, here, other=0)
            a_a = add_product(
                tl.zeros([ROWS, CENTERS], tl.float32),
                a, row, a_stride, here, center_a, at, c, there, c, a_scale.to(tl.float32),
                DEPTH, PRECISION,
            )  # fmt: skip
            if PRUNE:
                a_j = (tl.load(center_a_norm + j, there, other=0.0) * a_scale).to(tl.float32)
                n_j = _sq_norms(center_sq_norm, j, there, unit)
                h_j = tl.sqrt(n_j) / tl.where(a_j > 0, a_j, 1.0)
                norms = n_i[:, None] + n_j[None, :]
                side = tl.abs(a_a) if SIGNED else tl.maximum(a_a, 0.0)
                least = norms - 2.0 * side * (h_i[:, None] * h_j[None, :]) - class_error * norms
                pairs = pairs & ((least < known[:, None]) | (norms <= _UNDERFLOW))
            if tl.max(pairs.to(tl.int32)) > 0:
                n_multiplied += tl.sum(there.to(tl.int32))
                # NaN marks a pair that is ruled out: every comparison with its distance is false.
                a_a = tl.where(pairs, a_a, float("nan"))
                row = tl.load(positions + slot, here, other=0)
                h_h = add_product(
                    tl.zeros([ROWS, CENTERS], tl.float32),
                    h_, row, h_stride, here, center_h, at, h, there, h, h_scale.to(tl.float32),
                    DEPTH, PRECISION,
                )  # fmt: skip
                n_j = _sq_norms(center_sq_norm, j, there, unit)
                norms = n_i[:, None] + n_j[None, :]
                sq_dist = norms - 2.0 * a_a * h_h
                doubtful_below = norms * _FLOAT64_BELOW + _UNDERFLOW
                doubtful = sq_dist <= doubtful_below
                may_lower = sq_dist - error / _FLOAT64_BELOW * doubtful_below < known[:, None]
                again = tl.max((doubtful & may_lower).to(tl.int32))
                tl.store(doubtful_tiles + tile.to(tl.int64) * n_tiles + start // CENTERS,
                         again.to(tl.int8))  # fmt: skip
                sq_dist = tl.where(sq_dist > doubtful_below, sq_dist, INF)
                known = tl.minimum(known, tl.min(sq_dist, axis=1))
    # A value that float32 did not lower keeps its float64 digits.
    lowered = known < before.to(tl.float32)
    after = tl.where(lowered, known.to(tl.float64), before)
    tl.store(min_sq_dist + slot, after / unit, here)
    tl.store(multiplied + tile, n_multiplied * tl.sum(here.to(tl.int32)))


def update_min_sq_dist(
    min_sq_dist: Tensor,
    rows: Factors,
    positions: Tensor,
    centers: Factors,
    *,
    signed: bool,
    prune: bool,
    number: Tensor | None = None,
    starts: Tensor | None = None,
) -> Tensor:
    """Lowers ``min_sq_dist`` in place to the squared distance to the nearest center.

    Args:
        min_sq_dist: ``[r]`` float64, contiguous.
        rows: All rows ``[n]``, float32.
        positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
        centers: ``m`` centers; pruning works best in the order of `by_label_and_norm`.
        signed: Whether the inner product of two rows' activations may be negative.
        prune: Whether to skip pairs that bounds rule out.
        number: Use only the first ``number`` centers, ``[]`` int64; None uses all of them.
        starts: Index of the first center that each row has not been compared with, ``[r]`` int64;
            None means 0.

    Returns:
        Number of pairs that were multiplied, ``[]``.
    """
    r, m = len(positions), len(centers)
    c, h = rows.logit_grad.shape[1], rows.penultimate.shape[1]
    a, h_ = with_contiguous_rows(rows.logit_grad), with_contiguous_rows(rows.penultimate)
    centers, positions = centers.contiguous(), positions.contiguous()
    scale = torch.stack(scales(rows, centers))
    tile = update_tile(architecture(positions.device))
    tiles, center_tiles = triton.cdiv(r, tile.rows), triton.cdiv(m, tile.centers)
    doubtful = positions.new_zeros(tiles * center_tiles, dtype=torch.int8)
    multiplied = positions.new_empty(tiles, dtype=torch.int32)
    precision = input_precision(positions.device)
    class_error, error = errors(c, h, precision)
    launch(
        update_kernel, (tiles,),
        min_sq_dist, doubtful, multiplied, positions, starts, number, scale,
        a, h_, rows.sq_norm, rows.logit_grad_norm,
        centers.logit_grad, centers.penultimate, centers.sq_norm, centers.logit_grad_norm,
        r, m, c, h, a.stride(0), h_.stride(0), class_error, error,
        ROWS=tile.rows, CENTERS=tile.centers, DEPTH=tile.depth,
        SIGNED=signed, PRUNE=prune, PRECISION=precision,
        num_warps=tile.warps, num_stages=tile.stages,
        maxnreg=most_registers(tile.warps),
    )  # fmt: skip
    settle(
        min_sq_dist, doubtful, positions, number,
        replace(rows, logit_grad=a, penultimate=h_), centers,
        tile_rows=tile.rows, tile_centers=tile.centers,
    )  # fmt: skip
    return multiplied.sum()


def update_tile(architecture: int) -> Tile:
    """Returns a tile of `update_kernel` that fits into the registers of an architecture.

    Args:
        architecture: Compute capability times ten: 80 means ``sm_80``.
    """
    return Tile(rows=64, centers=64 if architecture >= 90 else 32, depth=16, warps=4, stages=2)


def architecture(device: torch.device) -> int:
    """Returns the compute capability of a device times ten; for the CPU 90, that of an H100."""
    if device.type != "cuda":
        return 90
    major, minor = torch.cuda.get_device_capability(device)
    return 10 * major + minor


def errors(c: int, h: int, precision: str) -> tuple[float, float]:
    """Returns the largest errors of class bounds and of distances, as fractions of ``N_i + N_c``.

    Both are twice the error bound of an inner product, see `roundoff` in ``precision``; ``tf32x3``
    adds its own error.
    """
    extra = TF32X3_ERROR if precision == "tf32x3" else 0.0
    eps = torch.finfo(torch.float32).eps
    return 2 * (c + 8) * eps + extra, (c + h + 8) * eps + 2 * extra


def input_precision(device: torch.device) -> str:
    """Returns the precision of ``tl.dot``: tensor cores on a GPU, IEEE in the interpreter."""
    return "tf32x3" if device.type == "cuda" else "ieee"


def by_label_and_norm(factors: Factors, number: Tensor | None = None) -> Tensor:
    """Returns an order ``[m]`` by hallucinated label, and by norm within a label.

    Args:
        factors: ``m`` rows.
        number: Only the first ``number`` rows are valid, ``[]``; the others come last. None: all
            are valid.
    """
    order = torch.argsort(factors.sq_norm, stable=True)
    label = factors.label[order]
    if number is not None:
        label = label.where(order < number, factors.logit_grad.shape[1])
    return order[torch.argsort(label, stable=True)]
