"""The sequential part of a block, on the device: which candidates become centers.

A candidate is rejected if and only if the squared distance to an earlier accepted candidate is at
most its limit, ``uniform * stale``. So the accepted candidates are the lexicographically first
maximal independent set of a graph, whose edges are computed all at once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.triton_tiled.arithmetic import (
    EXACT_DEPTH,
    EXACT_SIDE,
    EXACT_WARPS,
    INF,
    exact_sq_dist,
    launch,
    with_contiguous_rows,
)

# Candidates decided together, and the warps of the program.
STRIDE, WARPS = 64, 8
# Least words of bits in a row of conflicts; the same for all usual blocks, so that Triton compiles
# one kernel.
WORDS = 64
# Candidates whose gains a program computes, and centers that they are compared with at a time.
SIDE, OTHERS = 16, 128


@triton.jit(do_not_specialize=["b", "words"])
def pairwise_kernel(
    sq_dist,
    conflicts,
    limit,
    positions,
    a,
    h_,
    sq_norm,
    b,
    words,
    c,
    h,
    a_stride,
    h_stride,
    SIDE: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Writes squared distances ``[b, b]``, and as bits which are within the column's limit.

    Only pairs of a candidate with a later one have a bit.
    """
    above, beside = tl.program_id(0), tl.program_id(1)
    if above <= beside:
        i = above.to(tl.int64) * SIDE + tl.arange(0, SIDE)
        j = beside.to(tl.int64) * SIDE + tl.arange(0, SIDE)
        here, there = i < b, j < b
        row, other = tl.load(positions + i, here, other=0), tl.load(positions + j, there, other=0)
        n_i = tl.load(sq_norm + row, here, other=0.0)
        n_j = tl.load(sq_norm + other, there, other=0.0)
        found = exact_sq_dist(
            a, h_, n_i, row, here, a_stride, h_stride,
            a, h_, n_j, other, there, a_stride, h_stride,
            tl.full([SIDE], INF, tl.float64), row[:, None] == other[None, :], c, h, SIDE, DEPTH,
        )  # fmt: skip
        inside = here[:, None] & there[None, :]
        tl.store(sq_dist + i[:, None] * b + j[None, :], found, inside)
        tl.store(sq_dist + j[None, :] * b + i[:, None], found, inside)
        if limit is not None:
            within = found <= tl.load(limit + j, there, other=0.0)[None, :]
            within = within & inside & (i[:, None] < j[None, :])
            bits = tl.sum(within.to(tl.int32) << tl.arange(0, SIDE)[None, :], axis=1)
            tl.store(conflicts + i * words + beside, bits, here)


@triton.jit
def _either(left, right):
    return left | right


@triton.jit
def _repeat_first(chosen, count, b, BLOCK: tl.constexpr):
    """Fills the entries of ``chosen`` ``[b]`` from ``count`` on with its first entry, or 0."""
    tl.debug_barrier()
    first = tl.load(chosen, count > 0, other=0)
    for start in range(0, b, BLOCK):
        k = start + tl.arange(0, BLOCK)
        tl.store(chosen + k, first + tl.zeros([BLOCK], tl.int64), (k >= count) & (k < b))


@triton.jit(do_not_specialize=["b", "words"])
def accept_kernel(
    conflicts,
    stale,
    limit,
    chosen,
    number,
    b,
    words,
    STRIDE: tl.constexpr,
    WORDS: tl.constexpr,
    BITS: tl.constexpr,
):
    """Decides in one program which candidates are accepted, in order, ``STRIDE`` at a time.

    The conflicts of all accepted candidates stay in registers, as bits.
    """
    word = tl.arange(0, WORDS)
    rejected = tl.zeros([WORDS], tl.int32)
    count = 0
    for start in range(0, b, STRIDE):
        t = start + tl.arange(0, STRIDE)
        s = t.to(tl.int64)
        inside = t < b
        filled = (word[None, :] >= (t // BITS)[:, None]) & (word < words)[None, :]
        later = tl.load(
            conflicts + s[:, None] * words + word[None, :], filled & inside[:, None], other=0
        )
        filled = (t // BITS)[None, :] >= (t // BITS)[:, None]
        among = tl.load(
            conflicts + s[:, None] * words + (t // BITS)[None, :],
            filled & inside[:, None] & inside[None, :],
            other=0,
        )
        within = (among >> (t % BITS)[None, :]) & 1
        of_word = tl.where(word[:, None] == (t // BITS)[None, :], rejected[:, None], 0)
        alive = 1 - ((tl.sum(of_word, axis=0) >> (t % BITS)) & 1)
        has_mass = tl.load(stale + t, inside, other=0.0) > tl.load(limit + t, inside, other=0.0)
        alive = tl.where(has_mass & inside, alive, 0)
        # The first k decisions are final after k iterations; usually a few iterations suffice.
        now, changed = alive, 1
        while changed > 0:
            then = alive * (1 - tl.max(within * now[:, None], axis=0))
            changed = tl.max(tl.abs(then - now))
            now = then
        rejected |= tl.reduce(tl.where(now[:, None] > 0, later, 0), 0, _either)
        tl.store(chosen + count + tl.cumsum(now, axis=0) - now, t.to(tl.int64), now > 0)
        count += tl.sum(now)
    tl.store(number, count)
    _repeat_first(chosen, count, b, STRIDE)


@triton.jit(do_not_specialize=["b"])
def gain_kernel(
    sq_dist,
    stale,
    chosen,
    number,
    gains,
    drawn,
    taken,
    b,
    SIDE: tl.constexpr,
    OTHERS: tl.constexpr,
):
    """Writes each accepted candidate's squared distance to the nearest center before it.

    Also copies the columns of ``drawn`` ``[2, b]`` that are chosen to ``taken``.
    """
    k = tl.program_id(0) * SIDE + tl.arange(0, SIDE)
    count = tl.load(number).to(tl.int32)
    t = tl.load(chosen + tl.where(k < count, k, 0))
    gain = tl.load(stale + t)
    for first in range(0, tl.minimum(count, tl.program_id(0) * SIDE + SIDE), OTHERS):
        j = first + tl.arange(0, OTHERS)
        s = tl.load(chosen + j, j < count, other=0)
        earlier = (j[:, None] < k[None, :]) & (k < count)[None, :]
        found = tl.load(sq_dist + s[:, None] * b + t[None, :], earlier, other=INF)
        gain = tl.minimum(gain, tl.min(found, axis=0))
    tl.store(gains + k, gain, k < b)
    if drawn is not None:
        tl.store(taken + k, tl.load(drawn + t), k < b)
        tl.store(taken + b + k, tl.load(drawn + b + t), k < b)


@triton.jit(do_not_specialize=["b"])
def farthest_kernel(sq_dist, min_sq_dist, cutoff, chosen, gains, number, b, BLOCK: tl.constexpr):
    """Picks the candidate of the largest ``min_sq_dist`` ``[b]`` while that exceeds the cutoff."""
    k = tl.arange(0, BLOCK)
    inside = k < b
    remaining = tl.load(min_sq_dist + k, inside, other=-1.0)
    beyond = tl.load(cutoff)
    count = 0
    best = tl.max(remaining, axis=0)
    while best > beyond:
        # Of equal distances, the first.
        at = tl.min(tl.where(remaining == best, k, BLOCK), axis=0)
        tl.store(chosen + count, at.to(tl.int64))
        tl.store(gains + count, best)
        found = tl.load(sq_dist + at.to(tl.int64) * b + k, inside, other=0.0)
        remaining = tl.where(k == at, -1.0, tl.minimum(remaining, found))
        count += 1
        best = tl.max(remaining, axis=0)
    # Another warp may not have loaded its distances yet: a small block needs no other barrier.
    tl.debug_barrier()
    tl.store(min_sq_dist + k, tl.maximum(remaining, 0.0), inside)
    tl.store(number, count)
    _repeat_first(chosen, count, b, BLOCK)


def accept(
    sq_dist: Tensor,
    limit: Tensor,
    rows: Factors,
    positions: Tensor,
    drawn: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Accepts, in order, each candidate whose squared distance still exceeds its limit.

    Args:
        sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
        limit: Limit of each candidate, a squared distance, ``[b]`` float64.
        rows: All rows, ``[n]``.
        positions: The candidates, ``[b]`` int64.
        drawn: Two properties of the candidates, ``[2, b]`` int64.

    Returns:
        Indices of the accepted candidates ``[b]`` int64, their gains ``[b]`` float64, how many
        entries are valid ``[]`` int64, and their properties ``[2, b]`` if given; the entries after
        the valid ones repeat the first.
    """
    b = len(sq_dist)
    between, conflicts = _pairwise(rows, positions, limit)
    chosen, number = _room(positions)
    gains = torch.empty_like(sq_dist)
    taken = chosen if drawn is None else torch.empty_like(drawn)
    words = conflicts.shape[1]
    launch(
        accept_kernel, (1,),
        conflicts, sq_dist, limit, chosen, number, b, words,
        STRIDE=STRIDE, WORDS=max(WORDS, triton.next_power_of_2(words)), BITS=EXACT_SIDE,
        num_warps=WARPS,
    )  # fmt: skip
    launch(
        gain_kernel, (triton.cdiv(b, SIDE),),
        between, sq_dist, chosen, number, gains, drawn, taken, b,
        SIDE=SIDE, OTHERS=OTHERS, num_warps=WARPS,
    )  # fmt: skip
    return chosen, gains, number, taken


def pick_farthest(
    min_sq_dist: Tensor, cutoff: Tensor, rows: Factors, positions: Tensor
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Picks the farthest candidate repeatedly, while its squared distance exceeds a cutoff.

    After each pick, updates the distances of the other candidates.

    Args:
        min_sq_dist: Squared distance to the nearest center, ``[b]`` float64; lowered in place, 0
            for picked candidates.
        cutoff: ``[]`` float64.
        rows: All rows, ``[n]``.
        positions: The candidates, ``[b]`` int64; among equally distant ones the first is picked.

    Returns:
        As `accept`.
    """
    b = len(min_sq_dist)
    sq_dist, _ = _pairwise(rows, positions, None)
    chosen, number = _room(positions)
    gains = torch.zeros_like(min_sq_dist)
    launch(
        farthest_kernel, (1,),
        sq_dist, min_sq_dist, cutoff, chosen, gains, number, b,
        BLOCK=triton.next_power_of_2(b), num_warps=WARPS,
    )  # fmt: skip
    return chosen, gains, number


def _pairwise(rows: Factors, positions: Tensor, limit: Tensor | None) -> tuple[Tensor, Tensor]:
    """Returns squared distances ``[b, b]``, and which are within the column's limit.

    The second tensor ``[b, words]`` int32 holds bits, for pairs of a candidate with a later one;
    words before that of the candidate itself are not filled. Without a limit none are.
    """
    b, c, h = len(positions), rows.logit_grad.shape[1], rows.penultimate.shape[1]
    a, h_ = with_contiguous_rows(rows.logit_grad), with_contiguous_rows(rows.penultimate)
    side = triton.cdiv(b, EXACT_SIDE)
    sq_dist = rows.sq_norm.new_empty(b, b)
    conflicts = positions.new_empty(b, side, dtype=torch.int32)
    launch(
        pairwise_kernel, (side, side),
        sq_dist, None if limit is None else conflicts, limit, positions, a, h_, rows.sq_norm,
        b, side, c, h, a.stride(0), h_.stride(0),
        SIDE=EXACT_SIDE, DEPTH=EXACT_DEPTH, num_warps=EXACT_WARPS,
    )  # fmt: skip
    return sq_dist, conflicts


def _room(positions: Tensor) -> tuple[Tensor, Tensor]:
    """Returns room for the chosen candidates ``[b]`` int64 and their number ``[]``."""
    return torch.empty_like(positions), positions.new_empty(())
