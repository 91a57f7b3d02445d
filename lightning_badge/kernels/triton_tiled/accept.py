"""The sequential part of a block, on the device: which candidates become centers.

A candidate is rejected if and only if the squared distance to an earlier accepted candidate is at
most its limit, ``uniform * stale``. So the accepted candidates are the lexicographically first
maximal independent set of a graph, whose edges are computed all at once.
"""

from __future__ import annotations

from typing import Any

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
    """Writes squared distances ``[b, b]``, and which of them are within the column's limit."""
    above, beside = tl.program_id(0), tl.program_id(1)
    if above <= beside:
        i = above.to(tl.int64) * SIDE + tl.arange(0, SIDE)
        j = beside.to(tl.int64) * SIDE + tl.arange(0, SIDE)
        here, there = i < b, j < b
        n_i = tl.load(sq_norm + i, here, other=0.0)
        n_j = tl.load(sq_norm + j, there, other=0.0)
        found = exact_sq_dist(
            a, h_, n_i, i, here, a_stride, h_stride,
            a, h_, n_j, j, there, a_stride, h_stride,
            tl.full([SIDE], INF, tl.float64), c, h, SIDE, DEPTH,
        )  # fmt: skip
        inside = here[:, None] & there[None, :]
        tl.store(sq_dist + i[:, None] * b + j[None, :], found, inside)
        tl.store(sq_dist + j[None, :] * b + i[:, None], found, inside)
        if limit is not None:
            within = found <= tl.load(limit + j, there, other=0.0)[None, :]
            tl.store(conflicts + i[:, None] * b + j[None, :], within.to(tl.int8), inside)


@triton.jit
def _repeat_first(chosen, count, b, BLOCK: tl.constexpr):
    """Fills the entries of ``chosen`` ``[b]`` from ``count`` on with its first entry."""
    tl.debug_barrier()
    first = tl.load(chosen)
    for start in range(0, b, BLOCK):
        k = start + tl.arange(0, BLOCK)
        tl.store(chosen + k, first + tl.zeros([BLOCK], tl.int64), (k >= count) & (k < b))


@triton.jit
def accept_kernel(
    conflicts, stale, limit, accepted, chosen, number, b, STRIDE: tl.constexpr
):  # fmt: skip
    """Decides in one program which candidates are accepted, in order, ``STRIDE`` at a time."""
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
        # The first k decisions are final after k iterations; usually a few iterations suffice.
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
    """Writes each candidate's squared distance to its nearest center when it is decided."""
    t = tl.program_id(0) * STRIDE + tl.arange(0, STRIDE)
    inside = t < b
    gain = tl.load(stale + t, inside, other=0.0)
    for first in range(0, tl.program_id(0) * STRIDE + STRIDE, STRIDE):
        s = (first + tl.arange(0, STRIDE)).to(tl.int64)
        counts = tl.load(accepted + s, s < b, other=0) != 0
        counts = counts[:, None] & inside[None, :] & (s[:, None] < t[None, :])
        found = tl.load(sq_dist + s[:, None] * b + t[None, :], counts, other=INF)
        gain = tl.minimum(gain, tl.min(found, axis=0))
    tl.store(gains + t, gain, inside)


@triton.jit
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
    tl.store(min_sq_dist + k, tl.maximum(remaining, 0.0), inside)
    tl.store(number, count)
    _repeat_first(chosen, count, b, BLOCK)


def accept(
    sq_dist: Tensor, limit: Tensor, candidates: Factors
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Accepts, in order, each candidate whose squared distance still exceeds its limit.

    Args:
        sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
        limit: Limit of each candidate, a squared distance, ``[b]`` float64.
        candidates: ``b`` rows.

    Returns:
        Indices of the accepted candidates ``[b]`` int64, their gains ``[b]`` float64, and how many
        entries are valid ``[]`` int64; the entries after those repeat the first.
    """
    b = len(sq_dist)
    between, conflicts = _pairwise(candidates, limit)
    accepted = sq_dist.new_empty(b, dtype=torch.int8)
    chosen, number = _none_chosen(b, sq_dist.device)
    gains = torch.empty_like(sq_dist)
    launch(
        accept_kernel, (1,),
        conflicts, sq_dist, limit, accepted, chosen, number, b,
        STRIDE=STRIDE, num_warps=WARPS,
    )  # fmt: skip
    launch(
        gain_kernel, (triton.cdiv(b, STRIDE),),
        between, sq_dist, accepted, gains, b,
        STRIDE=STRIDE, num_warps=WARPS,
    )  # fmt: skip
    return chosen, gains[chosen], number


def pick_farthest(
    min_sq_dist: Tensor, cutoff: Tensor, candidates: Factors
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Picks the farthest candidate repeatedly, while its squared distance exceeds a cutoff.

    After each pick, updates the distances of the other candidates.

    Args:
        min_sq_dist: Squared distance to the nearest center, ``[b]`` float64; lowered in place, 0
            for picked candidates.
        cutoff: ``[]`` float64.
        candidates: ``b`` rows; among equally distant ones the first is picked.

    Returns:
        As `accept`.
    """
    b = len(min_sq_dist)
    sq_dist, _ = _pairwise(candidates, None)
    chosen, number = _none_chosen(b, min_sq_dist.device)
    gains = torch.zeros_like(min_sq_dist)
    launch(
        farthest_kernel, (1,),
        sq_dist, min_sq_dist, cutoff, chosen, gains, number, b,
        BLOCK=triton.next_power_of_2(b), num_warps=WARPS,
    )  # fmt: skip
    return chosen, gains, number


def _pairwise(rows: Factors, limit: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Returns squared distances ``[b, b]`` and, as int8, which are within the column's limit.

    The second tensor is None without a limit; only its upper triangle is filled.
    """
    b, c, h = len(rows), rows.logit_grad.shape[1], rows.penultimate.shape[1]
    a, h_ = with_contiguous_rows(rows.logit_grad), with_contiguous_rows(rows.penultimate)
    sq_dist = rows.sq_norm.new_empty(b, b)
    conflicts = None if limit is None else rows.sq_norm.new_empty(b, b, dtype=torch.int8)
    side = triton.cdiv(b, EXACT_SIDE)
    launch(
        pairwise_kernel, (side, side),
        sq_dist, conflicts, limit, a, h_, rows.sq_norm, b, c, h, a.stride(0), h_.stride(0),
        SIDE=EXACT_SIDE, DEPTH=EXACT_DEPTH, num_warps=EXACT_WARPS,
    )  # fmt: skip
    return sq_dist, conflicts


def _none_chosen(b: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns zeros for the chosen candidates ``[b]`` and their number ``[]``."""
    home: dict[str, Any] = {"dtype": torch.int64, "device": device}
    return torch.zeros(b, **home), torch.zeros((), **home)
