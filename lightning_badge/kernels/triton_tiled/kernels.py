"""The kernels in Triton, for NVIDIA GPUs: bound by arithmetic, not by launches or memory.

- Embedding: one pass over logits and activations, nothing between them in memory.
- Update: tiles of rows and centers that hold two sums, over classes and over the width, and write
  nothing but the minimum. A tile first compares norms, then the class sides, and multiplies the
  long sides only if a pair of it may matter (the bounds are those of ``numba_pruned``).
- Walk: the sequential part of a block, on the device. A candidate is rejected if and only if one
  accepted before it lies within its limit, ``uniform * stale``; so the walk asks for the first
  independent set, in order, of a graph that is computed at once.

Precision is that of ``torch_blocked``: float32 where it can tell (``ieee``, or ``tf32x3``, three
products of TF32 parts that make up for one of float32), else the tile again in float64, and the
difference form for pairs that nearly coincide. Sizes of tiles depend on the shapes alone, and
tuning chooses among numbers of warps and stages only, so that no choice changes a sum.

The only file that imports triton, and it is imported on first use.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import Config

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import Loss
from lightning_badge.kernels.precision import (
    DIFFERENCE_FORM_BELOW,
    FLOAT64_BELOW,
    UNDERFLOW,
    scales,
)

INTERPRETED = triton.knobs.runtime.interpret

# What tuning chooses among; under the interpreter there is nothing to choose.
CONFIGS = [Config({}, num_warps=8, num_stages=stages) for stages in (3, 2, 4)][
    : 1 if INTERPRETED else None
]

# Rows and centers of a tile, and how much of a sum it takes at a time: deeper ones spill registers.
ROWS, CENTERS, DEPTH = 64, 64, 8
# The side of a tile in float64, its depth, and threads for it.
EXACT, EXACT_DEPTH, EXACT_WARPS = 32, 16, 4
# Candidates that the walk settles together, and threads for it.
STRIDE, WALK_WARPS = 64, 8
# Classes of a tile, beyond which the logits are read twice, and what a program holds at most.
ALL_CLASSES, SOME_CLASSES, ENTRIES = 16384, 2048, 4096
# Counts that change from call to call: no code of its own for a 1, or for multiples of 16.
CHANGING = ["n", "r", "m"]
# Products of TF32 parts leave out the smallest one: at most 2^-20 of both lengths.
TF32X3_ERROR = 2.0**-19

_FLOAT64_BELOW = tl.constexpr(FLOAT64_BELOW)
_DIFFERENCE_FORM_BELOW = tl.constexpr(DIFFERENCE_FORM_BELOW)
_UNDERFLOW = tl.constexpr(UNDERFLOW)
_INF = tl.constexpr(float("inf"))
# Finite, so that no infinity is taken from another one.
_LEAST = tl.constexpr(torch.finfo(torch.float32).min)


@triton.jit(do_not_specialize=CHANGING)
def logit_grad_kernel(
    logits,
    penultimate,
    grad,
    sq_norm,
    n,
    c,
    h,
    logits_stride,
    penultimate_stride,
    ROWS: tl.constexpr,
    CLASSES: tl.constexpr,
    WIDTH: tl.constexpr,
    BINARY: tl.constexpr,
    WHOLE: tl.constexpr,
):
    """Writes logit gradients ``[n, c]`` and squared embedding norms ``[n]``."""
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = row < n
    z_row = logits + row[:, None] * logits_stride
    grad_row = grad + row[:, None] * c
    a_sq = tl.zeros([ROWS], tl.float64)
    if BINARY:
        for start in range(0, c, CLASSES):
            column = start + tl.arange(0, CLASSES)
            inside = here[:, None] & (column < c)[None, :]
            z = tl.load(z_row + column[None, :], inside, other=-_INF).to(tl.float32)
            e = tl.exp(-tl.abs(z))
            part = tl.where(z > 0, -1.0, 1.0) * (e / (1.0 + e))
            tl.store(grad_row + column[None, :], part, inside)
            a_sq += tl.sum(part.to(tl.float64) * part.to(tl.float64), axis=1)
    elif WHOLE:
        column = tl.arange(0, CLASSES)
        inside = here[:, None] & (column < c)[None, :]
        z = tl.load(z_row + column[None, :], inside, other=-_INF).to(tl.float32)
        largest, label = tl.max(z, axis=1, return_indices=True)
        e = tl.exp(z - tl.maximum(largest, _LEAST)[:, None])
        e = tl.where(column[None, :] == label[:, None], 0.0, e)
        others = tl.sum(e, axis=1)
        total = 1.0 + others
        part = tl.where(column[None, :] == label[:, None], -others[:, None], e) / total[:, None]
        tl.store(grad_row + column[None, :], part, inside)
        part = tl.where(inside, part, 0.0).to(tl.float64)
        a_sq = tl.sum(part * part, axis=1)
    else:
        # Online softmax that keeps the label's own 1 out of the sum.
        largest = tl.full([ROWS], _LEAST, tl.float32)
        others = tl.zeros([ROWS], tl.float32)
        label = tl.zeros([ROWS], tl.int32)
        for start in range(0, c, CLASSES):
            column = start + tl.arange(0, CLASSES)
            inside = here[:, None] & (column < c)[None, :]
            z = tl.load(z_row + column[None, :], inside, other=-_INF).to(tl.float32)
            best, at = tl.max(z, axis=1, return_indices=True)
            at = start + at
            is_new = best > largest
            high = tl.maximum(best, largest)
            shrunk = tl.where(is_new, tl.exp(largest - high), 1.0)
            label = tl.where(is_new, at, label)
            e = tl.exp(z - high[:, None])
            e = tl.where(column[None, :] == label[:, None], 0.0, e)
            # The label so far, which counted 1, is one of the others now.
            others = tl.where(is_new, (others + 1.0) * shrunk, others) + tl.sum(e, axis=1)
            largest = high
        total = 1.0 + others
        for start in range(0, c, CLASSES):
            column = start + tl.arange(0, CLASSES)
            inside = here[:, None] & (column < c)[None, :]
            z = tl.load(z_row + column[None, :], inside, other=-_INF).to(tl.float32)
            e = tl.exp(z - largest[:, None])
            part = tl.where(column[None, :] == label[:, None], -others[:, None], e)
            part = part / total[:, None]
            tl.store(grad_row + column[None, :], part, inside)
            part = tl.where(inside, part, 0.0).to(tl.float64)
            a_sq += tl.sum(part * part, axis=1)
    h_sq = tl.zeros([ROWS], tl.float64)
    for k in range(0, h, WIDTH):
        unit = k + tl.arange(0, WIDTH)
        active = here[:, None] & (unit < h)[None, :]
        x = tl.load(
            penultimate + row[:, None] * penultimate_stride + unit[None, :], active, other=0.0
        ).to(tl.float64)
        h_sq += tl.sum(x * x, axis=1)
    tl.store(sq_norm + row, a_sq * h_sq, here)


@triton.jit
def _add_product(
    total, x, x_at, x_stride, x_here, y, y_at, y_stride, y_here, width, scale,
    DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Adds the inner products of rows ``x_at`` of ``x`` and ``y_at`` of ``y`` to ``total``."""
    for start in range(0, width, DEPTH):
        k = start + tl.arange(0, DEPTH)
        inside = k < width
        left = tl.load(
            x + x_at[:, None] * x_stride + k[None, :], x_here[:, None] & inside[None, :], other=0.0
        )
        right = tl.load(
            y + y_at[None, :] * y_stride + k[:, None], y_here[None, :] & inside[:, None], other=0.0
        )
        left, right = left.to(total.dtype) * scale, right.to(total.dtype) * scale
        total = tl.dot(left, right, total, input_precision=PRECISION, out_dtype=total.dtype)
    return total


@triton.autotune(CONFIGS, key=["c", "h", "PRUNE"], restore_value=["min_sq_dist"],
                 cache_results=True)  # fmt: skip
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
    """Lowers ``min_sq_dist`` ``[r]`` by all pairs that float32 can tell, and marks other tiles."""
    tile = tl.program_id(0)
    slot = tile.to(tl.int64) * ROWS + tl.arange(0, ROWS)
    here = slot < r
    row = tl.load(positions + slot, here, other=0)
    a_scale, h_scale = tl.load(scale), tl.load(scale + 1)
    unit = a_scale * h_scale * a_scale * h_scale
    before = tl.load(min_sq_dist + slot, here, other=0.0) * unit
    known = before.to(tl.float32)
    open_ = before > 0
    n_i = (tl.load(sq_norm + row, here, other=0.0) * unit).to(tl.float32)
    g_i = tl.sqrt(n_i)
    a_i = (tl.load(a_norm + row, here, other=0.0) * a_scale).to(tl.float32)
    h_i = g_i / tl.where(a_i > 0, a_i, 1.0)
    nearest_i = tl.min(tl.where(open_, g_i, _INF), axis=0)
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
        n_j = (tl.load(center_sq_norm + j, there, other=0.0) * unit).to(tl.float32)
        g_j = tl.sqrt(n_j)
        pairs = open_[:, None] & there[None, :]
        norms = n_i[:, None] + n_j[None, :]
        wanted = True
        if PRUNE:
            nearest_j = tl.min(tl.where(there, g_j, _INF), axis=0)
            farthest_j = tl.max(tl.where(there, g_j, 0.0), axis=0)
            gap = tl.maximum(tl.maximum(nearest_j - farthest_i, nearest_i - farthest_j), 0.0)
            reach = tl.max(tl.where(open_, known, 0.0), axis=0)
            largest = farthest_i * farthest_i + farthest_j * farthest_j
            wanted = (gap * gap - class_error * largest < reach) | (largest <= _UNDERFLOW)
        if wanted:
            at = j.to(tl.int64)
            a_a = _add_product(
                tl.zeros([ROWS, CENTERS], tl.float32),
                a, row, a_stride, here, center_a, at, c, there, c, a_scale.to(tl.float32),
                DEPTH, PRECISION,
            )  # fmt: skip
            if PRUNE:
                a_j = (tl.load(center_a_norm + j, there, other=0.0) * a_scale).to(tl.float32)
                h_j = g_j / tl.where(a_j > 0, a_j, 1.0)
                side = tl.abs(a_a) if SIGNED else tl.maximum(a_a, 0.0)
                least = norms - 2.0 * side * (h_i[:, None] * h_j[None, :]) - class_error * norms
                pairs = pairs & ((least < known[:, None]) | (norms <= _UNDERFLOW))
            if tl.max(pairs.to(tl.int32)) > 0:
                n_multiplied += tl.sum(there.to(tl.int32))
                h_h = _add_product(
                    tl.zeros([ROWS, CENTERS], tl.float32),
                    h_, row, h_stride, here, center_h, at, h, there, h, h_scale.to(tl.float32),
                    DEPTH, PRECISION,
                )  # fmt: skip
                sq_dist = norms - 2.0 * a_a * h_h
                doubtful_below = _FLOAT64_BELOW * norms + _UNDERFLOW
                doubtful = sq_dist <= doubtful_below
                may_lower = sq_dist - error / _FLOAT64_BELOW * doubtful_below < known[:, None]
                again = tl.max((pairs & doubtful & may_lower).to(tl.int32))
                tl.store(doubtful_tiles + tile.to(tl.int64) * n_tiles + start // CENTERS,
                         again.to(tl.int8))  # fmt: skip
                sq_dist = tl.where(doubtful | ~pairs, _INF, sq_dist)
                known = tl.minimum(known, tl.min(sq_dist, axis=1))
    # What float32 lowered is written, and what it left keeps its digits.
    lowered = known < before.to(tl.float32)
    after = tl.where(lowered, known.to(tl.float64), before)
    tl.store(min_sq_dist + slot, after / unit, here)
    tl.store(multiplied + tile, n_multiplied * tl.sum(here.to(tl.int32)))


@triton.jit
def _exact_sq_dist(
    a, h_, n_i, row, here, a_stride, h_stride,
    other_a, other_h, n_j, at, there, other_a_stride, other_h_stride,
    known, c, h,
    SIDE: tl.constexpr, DEPTH: tl.constexpr,
):  # fmt: skip
    """Returns squared distances ``[SIDE, SIDE]`` in float64; exactly 0 for copies.

    The difference form is taken where a distance may be below ``known`` and float64's digits are
    gone.
    """
    one: tl.constexpr = 1.0
    zeros = tl.zeros([SIDE, SIDE], tl.float64)
    a_a = _add_product(
        zeros, a, row, a_stride, here, other_a, at, other_a_stride, there, c, one, DEPTH, "ieee"
    )
    h_h = _add_product(
        zeros, h_, row, h_stride, here, other_h, at, other_h_stride, there, h, one, DEPTH, "ieee"
    )
    norms = n_i[:, None] + n_j[None, :]
    sq_dist = norms - 2.0 * a_a * h_h
    near = (sq_dist < _DIFFERENCE_FORM_BELOW * norms) & (
        sq_dist - _DIFFERENCE_FORM_BELOW * norms < known[:, None]
    )
    if tl.max(near.to(tl.int32)) > 0:
        ss, tt, st = zeros, zeros, zeros
        for k in range(c):
            x = tl.load(a + row * a_stride + k, here, other=0.0).to(tl.float64)[:, None]
            y = tl.load(other_a + at * other_a_stride + k, there, other=0.0).to(tl.float64)[None, :]
            s, t = 0.5 * (x + y), x - y
            ss += s * s
            tt += t * t
            st += s * t
        uu, vv, uv = zeros, zeros, zeros
        for k in range(h):
            x = tl.load(h_ + row * h_stride + k, here, other=0.0).to(tl.float64)[:, None]
            y = tl.load(other_h + at * other_h_stride + k, there, other=0.0).to(tl.float64)[None, :]
            u, v = 0.5 * (x + y), x - y
            uu += u * u
            vv += v * v
            uv += u * v
        sq_dist = tl.where(near, ss * vv + tt * uu + 2.0 * st * uv, sq_dist)
    return tl.maximum(sq_dist, 0.0)


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
    """Lowers ``min_sq_dist`` ``[r]`` by all pairs of the marked tiles, in float64."""
    first = tl.program_id(0).to(tl.int64) * SIDE
    slot = first + tl.arange(0, SIDE)
    here = slot < r
    row = tl.load(positions + slot, here, other=0)
    n_i = tl.load(sq_norm + row, here, other=0.0)
    known = tl.load(min_sq_dist + slot, here, other=0.0)
    n_tiles = tl.cdiv(m, CENTERS)
    marks = doubtful_tiles + first // ROWS * n_tiles
    stop = m
    if number is not None:
        stop = tl.minimum(m, tl.load(number).to(tl.int32))
    for tile in range(n_tiles):
        if (tl.load(marks + tile) != 0) & (tl.max(known, axis=0) > 0):
            for part in range(0, CENTERS, SIDE):
                j = tile * CENTERS + part + tl.arange(0, SIDE)
                there = j < stop
                at = j.to(tl.int64)
                n_j = tl.load(center_sq_norm + j, there, other=0.0)
                sq_dist = _exact_sq_dist(
                    a, h_, n_i, row, here, a_stride, h_stride,
                    center_a, center_h, n_j, at, there, c, h,
                    known, c, h, SIDE, DEPTH,
                )  # fmt: skip
                nearest = tl.min(tl.where(there[None, :], sq_dist, _INF), axis=1)
                known = tl.minimum(known, nearest)
    tl.store(min_sq_dist + slot, known, here)


@triton.jit
def pairwise_kernel(
    sq_dist,
    conflicts,
    limit,
    a,
    h_,
    sq_norm,
    b,
    c,
    h,
    a_stride,
    h_stride,
    SIDE: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Writes all distances ``[b, b]``, and which pairs lie within the later one's limit."""
    above, beside = tl.program_id(0), tl.program_id(1)
    if above <= beside:
        i = above.to(tl.int64) * SIDE + tl.arange(0, SIDE)
        j = beside.to(tl.int64) * SIDE + tl.arange(0, SIDE)
        here, there = i < b, j < b
        n_i = tl.load(sq_norm + i, here, other=0.0)
        n_j = tl.load(sq_norm + j, there, other=0.0)
        found = _exact_sq_dist(
            a, h_, n_i, i, here, a_stride, h_stride,
            a, h_, n_j, j, there, a_stride, h_stride,
            tl.full([SIDE], _INF, tl.float64), c, h, SIDE, DEPTH,
        )  # fmt: skip
        inside = here[:, None] & there[None, :]
        tl.store(sq_dist + i[:, None] * b + j[None, :], found, inside)
        tl.store(sq_dist + j[None, :] * b + i[:, None], found, inside)
        if limit is not None:
            within = found <= tl.load(limit + j, there, other=0.0)[None, :]
            tl.store(conflicts + i[:, None] * b + j[None, :], within.to(tl.int8), inside)


@triton.jit
def _repeat_first(chosen, count, b, BLOCK: tl.constexpr):
    """Fills what is left of ``chosen`` ``[b]`` with its first entry."""
    tl.debug_barrier()
    first = tl.load(chosen)
    for start in range(0, b, BLOCK):
        k = start + tl.arange(0, BLOCK)
        tl.store(chosen + k, first + tl.zeros([BLOCK], tl.int64), (k >= count) & (k < b))


@triton.jit
def walk_kernel(
    conflicts, stale, limit, accepted, chosen, number, b, STRIDE: tl.constexpr
):  # fmt: skip
    """Walks the candidates in order, ``STRIDE`` at a time: who is accepted, in one program."""
    count = 0
    for start in range(0, b, STRIDE):
        t = start + tl.arange(0, STRIDE)
        inside = t < b
        alive = tl.load(stale + t, inside, other=0.0) > tl.load(limit + t, inside, other=0.0)
        alive = (alive & inside).to(tl.int32)
        for first in range(0, start, STRIDE):
            s = (first + tl.arange(0, STRIDE)).to(tl.int64)
            was_accepted = tl.load(accepted + s).to(tl.int32)
            within = tl.load(
                conflicts + s[:, None] * b + t[None, :], inside[None, :], other=0
            ).to(tl.int32)  # fmt: skip
            alive = alive * (1 - tl.max(within * was_accepted[:, None], axis=0))
        s = t.to(tl.int64)
        earlier = inside[:, None] & inside[None, :] & (s[:, None] < s[None, :])
        within = tl.load(conflicts + s[:, None] * b + t[None, :], earlier, other=0).to(tl.int32)
        # The first k are settled after k turns, mostly all after a few.
        now, changed = alive, 1
        while changed > 0:
            then = alive * (1 - tl.max(within * now[:, None], axis=0))
            changed = tl.max(tl.abs(then - now))
            now = then
        tl.store(accepted + t, now.to(tl.int8), inside)
        tl.store(chosen + count + tl.cumsum(now, axis=0) - now, t.to(tl.int64), now > 0)
        count += tl.sum(now)
        tl.debug_barrier()
    tl.store(number, count)
    _repeat_first(chosen, count, b, STRIDE)


@triton.jit
def gain_kernel(sq_dist, stale, accepted, gains, b, STRIDE: tl.constexpr):
    """Writes what each candidate's distance to the nearest center is when the walk gets to it."""
    t = tl.program_id(0) * STRIDE + tl.arange(0, STRIDE)
    inside = t < b
    gain = tl.load(stale + t, inside, other=0.0)
    for first in range(0, tl.program_id(0) * STRIDE + STRIDE, STRIDE):
        s = (first + tl.arange(0, STRIDE)).to(tl.int64)
        counts = tl.load(accepted + s, s < b, other=0) != 0
        counts = counts[:, None] & inside[None, :] & (s[:, None] < t[None, :])
        found = tl.load(sq_dist + s[:, None] * b + t[None, :], counts, other=_INF)
        gain = tl.minimum(gain, tl.min(found, axis=0))
    tl.store(gains + t, gain, inside)


@triton.jit
def farthest_kernel(sq_dist, now, cutoff, chosen, gains, number, b, BLOCK: tl.constexpr):
    """Picks the farthest of ``now`` ``[b]``, again and again while it is beyond the cutoff."""
    k = tl.arange(0, BLOCK)
    inside = k < b
    left = tl.load(now + k, inside, other=-1.0)
    beyond = tl.load(cutoff)
    count = 0
    best = tl.max(left, axis=0)
    while best > beyond:
        # The first of equals.
        at = tl.min(tl.where(left == best, k, BLOCK), axis=0)
        tl.store(chosen + count, at.to(tl.int64))
        tl.store(gains + count, best)
        found = tl.load(sq_dist + at.to(tl.int64) * b + k, inside, other=0.0)
        left = tl.where(k == at, -1.0, tl.minimum(left, found))
        count += 1
        best = tl.max(left, axis=0)
    tl.store(now + k, tl.maximum(left, 0.0), inside)
    tl.store(number, count)
    _repeat_first(chosen, count, b, BLOCK)


def logit_grad_and_sq_norm(
    penultimate: Tensor, logits: Tensor, *, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Returns the loss gradient at the hallucinated label, and the squared embedding norms.

    Args:
        penultimate: ``[n, h]`` float32, float16 or bfloat16.
        logits: ``[n, c]`` likewise; ``-inf`` marks a masked class.
        loss: Whose gradient.

    Returns:
        ``[n, c]`` float32, and ``[n]`` float64.
    """
    penultimate, logits = _rows_in_memory(penultimate), _rows_in_memory(logits)
    (n, c), h = logits.shape, penultimate.shape[1]
    grad = logits.new_empty(n, c, dtype=torch.float32)
    sq_norm = logits.new_empty(n, dtype=torch.float64)
    if not n:
        return grad, sq_norm
    binary = loss == "binary_cross_entropy"
    classes, rows, width, warps = logit_grad_tile(c, h, binary)
    _launch(
        logit_grad_kernel, (triton.cdiv(n, rows),),
        logits, penultimate, grad, sq_norm, n, c, h, logits.stride(0), penultimate.stride(0),
        ROWS=rows, CLASSES=classes, WIDTH=width, BINARY=binary, WHOLE=c <= classes,
        num_warps=warps,
    )  # fmt: skip
    return grad, sq_norm


def logit_grad_tile(c: int, h: int, binary: bool) -> tuple[int, int, int, int]:
    """Returns classes, rows and width of a tile, and the warps that it takes."""
    classes = max(triton.next_power_of_2(c), 16)
    if binary:
        classes = min(classes, SOME_CLASSES)
    elif classes > ALL_CLASSES:
        classes = SOME_CLASSES
    rows = min(max(ENTRIES // 2 // classes, 1), 64)
    width = min(max(triton.next_power_of_2(h), 16), ENTRIES // rows)
    return classes, rows, width, min(max(classes * rows // 512, 4), 16)


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
        positions: Which of them ``min_sq_dist`` speaks of, ``[r]`` int64.
        centers: ``m`` of them; neighbours alike, of one label and norm, prune best.
        signed: Whether some product of activations may be negative.
        prune: Whether to look for pairs that cannot matter.
        number: How many of the centers count, ``[]`` int64.
        starts: From which center on each row needs to look, ``[r]`` int64.

    Returns:
        How many pairs were multiplied, ``[]``.
    """
    r, m = len(positions), len(centers)
    c, h = rows.logit_grad.shape[1], rows.penultimate.shape[1]
    a, h_ = _rows_in_memory(rows.logit_grad), _rows_in_memory(rows.penultimate)
    centers, positions = centers.contiguous(), positions.contiguous()
    scale = torch.stack(scales(rows, centers))
    tiles, center_tiles = triton.cdiv(r, ROWS), triton.cdiv(m, CENTERS)
    doubtful = positions.new_zeros(tiles * center_tiles, dtype=torch.int8)
    multiplied = positions.new_empty(tiles, dtype=torch.int32)
    precision = input_precision(positions.device)
    class_error, error = errors(c, h, precision)
    _launch(
        update_kernel, (tiles,),
        min_sq_dist, doubtful, multiplied, positions, starts, number, scale,
        a, h_, rows.sq_norm, rows.logit_grad_norm,
        centers.logit_grad, centers.penultimate, centers.sq_norm, centers.logit_grad_norm,
        r, m, c, h, a.stride(0), h_.stride(0), class_error, error,
        ROWS=ROWS, CENTERS=CENTERS, DEPTH=DEPTH,
        SIGNED=signed, PRUNE=prune, PRECISION=precision,
    )  # fmt: skip
    _launch(
        settle_kernel, (triton.cdiv(r, EXACT),),
        min_sq_dist, doubtful, positions, number, a, h_, rows.sq_norm,
        centers.logit_grad, centers.penultimate, centers.sq_norm,
        r, m, c, h, a.stride(0), h_.stride(0),
        ROWS=ROWS, CENTERS=CENTERS, SIDE=EXACT, DEPTH=EXACT_DEPTH,
        num_warps=EXACT_WARPS,
    )  # fmt: skip
    return multiplied.sum()


def errors(c: int, h: int, precision: str) -> tuple[float, float]:
    """Returns the share of ``N_i + N_c`` that class-side bounds and distances are off by at most.

    As in ``torch_blocked``, twice the bound of a sum of ``d`` products; ``tf32x3`` adds its own.
    """
    extra = TF32X3_ERROR if precision == "tf32x3" else 0.0
    eps = torch.finfo(torch.float32).eps
    return 2 * (c + 8) * eps + extra, (c + h + 8) * eps + 2 * extra


def input_precision(device: torch.device) -> str:
    """Returns how products of float32 are made: on tensor cores where there are some."""
    return "tf32x3" if device.type == "cuda" else "ieee"


def by_label_and_norm(factors: Factors, number: Tensor | None = None) -> Tensor:
    """Returns an order ``[m]`` in which rows of one hallucinated label and of like norms meet.

    Args:
        factors: ``m`` rows.
        number: How many of them count, ``[]``; the others come last.
    """
    order = torch.argsort(factors.sq_norm, stable=True)
    label = factors.label[order]
    if number is not None:
        label = label.where(order < number, factors.logit_grad.shape[1])
    return order[torch.argsort(label, stable=True)]


def accept(
    sq_dist: Tensor, limit: Tensor, candidates: Factors
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Goes through a block of candidates in order and accepts those beyond their limit.

    Args:
        sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
        limit: Squared distance that has to be exceeded, ``[b]`` float64.
        candidates: ``b`` of them.

    Returns:
        Which were accepted ``[b]`` int64, their gains ``[b]`` float64, and how many there are
        ``[]`` int64; what comes after those repeats the first.
    """
    b = len(sq_dist)
    between, conflicts = _pairwise(candidates, limit)
    accepted = sq_dist.new_empty(b, dtype=torch.int8)
    chosen, number = _nobody(b, sq_dist.device)
    gains = torch.empty_like(sq_dist)
    _launch(
        walk_kernel, (1,),
        conflicts, sq_dist, limit, accepted, chosen, number, b,
        STRIDE=STRIDE, num_warps=WALK_WARPS,
    )  # fmt: skip
    _launch(
        gain_kernel, (triton.cdiv(b, STRIDE),),
        between, sq_dist, accepted, gains, b,
        STRIDE=STRIDE, num_warps=WALK_WARPS,
    )  # fmt: skip
    return chosen, gains[chosen], number


def pick_farthest(
    now: Tensor, cutoff: Tensor, candidates: Factors
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Picks the farthest candidate, lets the others meet it, and so on while it is beyond a cutoff.

    Args:
        now: Squared distance to the nearest center, ``[b]`` float64; lowered in place, 0 where
            picked.
        cutoff: ``[]`` float64.
        candidates: ``b`` of them; of those equally far the first is picked.

    Returns:
        As `accept`.
    """
    b = len(now)
    sq_dist, _ = _pairwise(candidates, None)
    chosen, number = _nobody(b, now.device)
    gains = torch.zeros_like(now)
    _launch(
        farthest_kernel, (1,),
        sq_dist, now, cutoff, chosen, gains, number, b,
        BLOCK=triton.next_power_of_2(b), num_warps=WALK_WARPS,
    )  # fmt: skip
    return chosen, gains, number


def _pairwise(rows: Factors, limit: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Returns distances ``[b, b]``, and which are within the second one's limit (first half)."""
    b, c, h = len(rows), rows.logit_grad.shape[1], rows.penultimate.shape[1]
    a, h_ = _rows_in_memory(rows.logit_grad), _rows_in_memory(rows.penultimate)
    sq_dist = rows.sq_norm.new_empty(b, b)
    conflicts = None if limit is None else rows.sq_norm.new_empty(b, b, dtype=torch.int8)
    side = triton.cdiv(b, EXACT)
    _launch(
        pairwise_kernel, (side, side),
        sq_dist, conflicts, limit, a, h_, rows.sq_norm, b, c, h, a.stride(0), h_.stride(0),
        SIDE=EXACT, DEPTH=EXACT_DEPTH, num_warps=EXACT_WARPS,
    )  # fmt: skip
    return sq_dist, conflicts


def _launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **constants: Any) -> None:
    """Starts a kernel on the device of its first argument, which need not be the current one."""
    with torch.cuda.device_of(arguments[0]):  # type: ignore[no-untyped-call]
        # Said aloud: Triton warns that its default may change.
        kernel[grid](*arguments, enable_fp_fusion=True, **constants)


def _nobody(b: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns who was chosen ``[b]`` and how many ``[]``, both zero."""
    home: dict[str, Any] = {"dtype": torch.int64, "device": device}
    return torch.zeros(b, **home), torch.zeros((), **home)


def _rows_in_memory(matrix: Tensor) -> Tensor:
    """Returns a matrix whose rows are contiguous each, wherever they stand."""
    return matrix if matrix.stride(1) == 1 else matrix.contiguous()
