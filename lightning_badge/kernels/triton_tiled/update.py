"""Minimum distances of all rows to new centers, in tiles of rows and centers.

A tile accumulates two inner products, over the classes and over the width, and writes only the
minimum. It tests bounds from the norms, then from the class products, and multiplies the
activations only if a pair of the tile may lower a minimum (the bounds are those of
``numba_pruned``). ``settle`` then recomputes in float64 the tiles in which float32 lost its digits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.precision import FLOAT64_BELOW, UNDERFLOW, scales
from lightning_badge.kernels.triton_tiled.arithmetic import (
    CHANGING,
    CLASSES,
    INF,
    add_product,
    launch,
    most_registers,
    n_valid,
    sq_norms,
    with_contiguous_rows,
)
from lightning_badge.kernels.triton_tiled.centers import bounds
from lightning_badge.kernels.triton_tiled.settle import settle

# tf32x3 omits the smallest of its TF32 products: at most 2^-20 of the product of the norms.
TF32X3_ERROR = 2.0**-19

# Most tiles of centers in a launch: bits of a word.
TILES = 64
NO_BOUNDS = None, None, None

_FLOAT64_BELOW = tl.constexpr(FLOAT64_BELOW)
# Twice, and more than the relative roundoff of a few operations.
_ROUNDED = tl.constexpr(2.0 + 2.0**-16)
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
def _wanted_tiles(
    tile, low, high, norms, nearest_i, farthest_i, widest_i, reach,
    a, row, open_, a_stride, a_scale, stop, c, class_error,
    CENTERS: tl.constexpr, TILES: tl.constexpr, CLASSES: tl.constexpr, SIGNED: tl.constexpr,
):  # fmt: skip
    """Returns bits of the tiles of centers ``tile`` ``[TILES]`` that may lower a distance.

    The distances of all pairs of a tile are bounded at once: by the norms, and by the largest inner
    product of two logit gradients whose entries lie in the ranges of both tiles.
    """
    some = tile * CENTERS < stop
    nearest_j = tl.load(norms + 3 * tile, some, other=0.0)
    farthest_j = tl.load(norms + 3 * tile + 1, some, other=0.0)
    widest_j = tl.load(norms + 3 * tile + 2, some, other=0.0)
    highest = tl.zeros([TILES], tl.float32)
    lowest = tl.zeros([TILES], tl.float32)
    rounded = tl.zeros([TILES], tl.float32)
    at = tile.to(tl.int64)
    for start in range(0, c, CLASSES):
        k = start + tl.arange(0, CLASSES)
        inside = open_[:, None] & (k < c)[None, :]
        part = tl.load(a + row[:, None] * a_stride + k[None, :], inside, other=0.0)
        part = part.to(tl.float32) * a_scale
        low_i = tl.where(k < c, tl.min(tl.where(inside, part, INF), axis=0), 0.0)[None, :]
        high_i = tl.where(k < c, tl.max(tl.where(inside, part, -INF), axis=0), 0.0)[None, :]
        inside = some[:, None] & (k < c)[None, :]
        low_j = tl.load(low + at[:, None] * c + k[None, :], inside, other=0.0)
        high_j = tl.load(high + at[:, None] * c + k[None, :], inside, other=0.0)
        ends, other_ends = tl.maximum(low_i * low_j, high_i * high_j), low_i * high_j
        top = tl.maximum(tl.maximum(ends, other_ends), high_i * low_j)
        highest += tl.sum(top, axis=1)
        rounded += tl.sum(tl.abs(top), axis=1)
        if SIGNED:
            ends = tl.minimum(low_i * low_j, high_i * high_j)
            bottom = tl.minimum(tl.minimum(ends, other_ends), high_i * low_j)
            lowest += tl.sum(bottom, axis=1)
            rounded += tl.sum(tl.abs(bottom), axis=1)
    side = tl.maximum(tl.maximum(highest, -lowest), 0.0) + class_error * rounded
    gap = tl.maximum(tl.maximum(nearest_j - farthest_i, nearest_i - farthest_j), 0.0)
    largest = farthest_i * farthest_i + farthest_j * farthest_j
    # The norms and their products are rounded too.
    least = nearest_i * nearest_i + nearest_j * nearest_j - _ROUNDED * side * widest_i * widest_j
    least = tl.maximum(least, gap * gap) - class_error * largest
    wanted = some & ((least < reach) | (largest <= _UNDERFLOW))
    bits = tl.full([TILES], 1, tl.int64) << tile.to(tl.int64)
    return tl.sum(tl.where(wanted, bits, 0), axis=0)


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
    low,
    high,
    norms,
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
    TILES: tl.constexpr,
    DEPTH: tl.constexpr,
    CLASSES: tl.constexpr,
    SIGNED: tl.constexpr,
    PRUNE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Lowers ``min_sq_dist`` ``[r]`` with the pairs that float32 resolves.

    Writes which tiles contain doubtful pairs, which need float64: a bit for each tile of centers,
    of which there are at most ``TILES``.
    """
    tile = tl.program_id(0).to(tl.int64)
    slot = tile * ROWS + tl.arange(0, ROWS)
    here = slot < r
    row = tl.load(positions + slot, here, other=0)
    a_scale, h_scale = tl.load(scale), tl.load(scale + 1)
    unit = a_scale * h_scale * a_scale * h_scale
    before = tl.load(min_sq_dist + slot, here, other=0.0) * unit
    known = before.to(tl.float32)
    open_ = before > 0
    n_i = sq_norms(sq_norm, row, here, unit)
    g_i = tl.sqrt(n_i)
    a_i = (tl.load(a_norm + row, here, other=0.0) * a_scale).to(tl.float32)
    h_i = g_i / tl.where(a_i > 0, a_i, 1.0)
    stop = n_valid(m, number)
    first = 0
    if starts is not None:
        first = tl.min(tl.load(starts + slot, here, other=m), axis=0).to(tl.int32) // CENTERS
    if tl.max(open_.to(tl.int32), axis=0) == 0:
        stop = 0
    n_multiplied = 0
    marks = tl.zeros([], tl.int64)
    wanted = tl.full([], -1, tl.int64)
    if PRUNE:  # noqa: SIM102  # without it, the branch must not be compiled
        if stop > 0:
            row = tl.load(positions + slot, here, other=0)
            wanted = _wanted_tiles(
                tl.arange(0, TILES), low, high, norms,
                tl.min(tl.where(open_, g_i, INF), axis=0),
                tl.max(tl.where(open_, g_i, 0.0), axis=0),
                tl.max(tl.where(open_, h_i, 0.0), axis=0),
                tl.max(tl.where(open_, known, 0.0), axis=0),
                a, row, open_, a_stride, a_scale.to(tl.float32), stop, c, class_error,
                CENTERS, TILES, CLASSES, SIGNED,
            )  # fmt: skip
    for bit in range(first, tl.cdiv(stop, CENTERS)):
        if (wanted >> bit) & 1 != 0:
            j = bit * CENTERS + tl.arange(0, CENTERS)
            there = j < stop
            pairs = open_[:, None] & there[None, :]
            at = j.to(tl.int64)
            # Positions and norms are reloaded where they are used: keeping them and their
            # addresses in registers during the products would cause spills.
            row = tl.load(positions + slot, here, other=0)
            a_a = add_product(
                tl.zeros([ROWS, CENTERS], tl.float32),
                a, row, a_stride, here, center_a, at, c, there, c, a_scale.to(tl.float32),
                CLASSES, PRECISION,
            )  # fmt: skip
            if PRUNE:
                a_j = (tl.load(center_a_norm + j, there, other=0.0) * a_scale).to(tl.float32)
                n_j = sq_norms(center_sq_norm, j, there, unit)
                h_j = tl.sqrt(n_j) / tl.where(a_j > 0, a_j, 1.0)
                norms_ij = n_i[:, None] + n_j[None, :]
                side = tl.abs(a_a) if SIGNED else tl.maximum(a_a, 0.0)
                least = norms_ij - 2.0 * side * (h_i[:, None] * h_j[None, :])
                least -= class_error * norms_ij
                pairs = pairs & ((least < known[:, None]) | (norms_ij <= _UNDERFLOW))
            if tl.max(pairs.to(tl.int32)) > 0:
                n_multiplied += tl.sum(there.to(tl.int32))
                # NaN marks a pair that is ruled out: every comparison with its distance is
                # false. As a global constant it would be refused: it is unequal to itself.
                a_a = tl.where(pairs, a_a, float("nan"))
                row = tl.load(positions + slot, here, other=0)
                h_h = add_product(
                    tl.zeros([ROWS, CENTERS], tl.float32),
                    h_, row, h_stride, here, center_h, at, h, there, h, h_scale.to(tl.float32),
                    DEPTH, PRECISION,
                )  # fmt: skip
                n_j = sq_norms(center_sq_norm, j, there, unit)
                norms_ij = n_i[:, None] + n_j[None, :]
                sq_dist = norms_ij - 2.0 * a_a * h_h
                doubtful_below = norms_ij * _FLOAT64_BELOW + _UNDERFLOW
                doubtful = sq_dist <= doubtful_below
                may_lower = sq_dist - error / _FLOAT64_BELOW * doubtful_below < known[:, None]
                again = tl.max((doubtful & may_lower).to(tl.int32))
                marks |= again.to(tl.int64) << bit
                sq_dist = tl.where(sq_dist > doubtful_below, sq_dist, INF)
                known = tl.minimum(known, tl.min(sq_dist, axis=1))
    tl.store(doubtful_tiles + tile, marks)
    # A value that float32 did not lower keeps its float64 digits. It is loaded again, because
    # keeping it in registers during the products would cause spills.
    before = tl.load(min_sq_dist + slot, here, other=0.0) * unit
    lowered = here & (known < before.to(tl.float32))
    tl.store(min_sq_dist + slot, known.to(tl.float64) / unit, lowered)
    if n_multiplied > 0:
        tl.atomic_add(multiplied, (n_multiplied * tl.sum(here.to(tl.int32))).to(tl.int64))


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
    scale: Tensor | None = None,
    multiplied: Tensor | None = None,
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
        scale: Powers of two that scale the logit gradients and activations of rows and centers near
            1, ``[2]`` float64; None computes them.
        multiplied: A number to add to, ``[]`` int64, and to return; None: a new 0.

    Returns:
        Number of pairs that were multiplied, ``[]``.
    """
    scale = torch.stack(scales(rows, centers)) if scale is None else scale
    tile = update_tile(architecture(positions.device))
    multiplied = positions.new_zeros(()) if multiplied is None else multiplied
    size = TILES * tile.centers
    for start in range(0, len(centers), size):
        part = centers if len(centers) <= size else centers.take(slice(start, start + size))
        _update_by_part(
            min_sq_dist,
            rows,
            positions,
            part,
            multiplied,
            scale,
            tile,
            signed=signed,
            prune=prune,
            number=number if number is None or not start else (number - start).clamp(min=0),
            starts=starts if starts is None or not start else (starts - start).clamp(min=0),
        )
    return multiplied


def _update_by_part(
    min_sq_dist: Tensor,
    rows: Factors,
    positions: Tensor,
    centers: Factors,
    multiplied: Tensor,
    scale: Tensor,
    tile: Tile,
    *,
    signed: bool,
    prune: bool,
    number: Tensor | None,
    starts: Tensor | None,
) -> None:
    """Updates by at most ``TILES`` tiles of centers, and adds the number of products."""
    r, m = len(positions), len(centers)
    c, h = rows.logit_grad.shape[1], rows.penultimate.shape[1]
    a, h_ = with_contiguous_rows(rows.logit_grad), with_contiguous_rows(rows.penultimate)
    centers, positions = centers.contiguous(), positions.contiguous()
    tiles = triton.cdiv(r, tile.rows)
    doubtful = positions.new_empty(tiles)
    of_tiles = bounds(centers, number, scale, tile.centers) if prune else NO_BOUNDS
    precision = input_precision(positions.device)
    class_error, error = errors(c, h, precision)
    launch(
        update_kernel, (tiles,),
        min_sq_dist, doubtful, multiplied, positions, starts, number, scale,
        a, h_, rows.sq_norm, rows.logit_grad_norm, *centers.tensors, *of_tiles,
        r, m, c, h, a.stride(0), h_.stride(0), class_error, error,
        ROWS=tile.rows, CENTERS=tile.centers, TILES=TILES, DEPTH=tile.depth, CLASSES=CLASSES,
        SIGNED=signed, PRUNE=prune, PRECISION=precision,
        num_warps=tile.warps, num_stages=tile.stages,
        maxnreg=most_registers(tile.warps),
    )  # fmt: skip
    settle(
        min_sq_dist, doubtful, positions, number,
        replace(rows, logit_grad=a, penultimate=h_), centers,
        tile_rows=tile.rows, tile_centers=tile.centers,
    )  # fmt: skip


def update_tile(architecture: int) -> Tile:
    """Returns a tile of `update_kernel` that fits into the registers of an architecture.

    Args:
        architecture: Compute capability times ten: 80 means ``sm_80``.
    """
    if architecture >= 90:
        return Tile(rows=128, centers=64, depth=16, warps=4, stages=2)
    return Tile(rows=64, centers=32, depth=16, warps=4, stages=2)


@cache
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
