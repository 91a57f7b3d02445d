"""Sampling masses and draws: one pass over the distances, a prefix sum, and a binary search."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from lightning_badge.kernels.backend import Chosen
from lightning_badge.kernels.mass import SMALLEST_EXPONENT, Mass, unit_shift
from lightning_badge.kernels.triton_tiled.arithmetic import CHANGING, INF, launch

ROWS, CANDIDATES, WARPS = 1024, 64, 4

_MOST = tl.constexpr(2.0**62)
_SMALLEST_EXPONENT = tl.constexpr(SMALLEST_EXPONENT)


@triton.jit(do_not_specialize=[*CHANGING, "shift"])
def weight_kernel(mass, order, largest, weights, unit, r, shift, ROWS: tl.constexpr):
    """Writes masses in units, rounded up, in the order of summation, ``[r]``, and the unit."""
    bits = tl.load(largest).to(tl.int64, bitcast=True)
    # Of a denormal number the exponent field is 0, and the smallest exponent applies.
    exponent = ((bits >> 52) & 0x7FF) - 1022 + shift
    exponent = tl.maximum(exponent, _SMALLEST_EXPONENT)
    one = ((exponent + 1023) << 52).to(tl.float64, bitcast=True)
    place = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = place < r
    slot = place
    if order is not None:
        slot = tl.load(order + place, inside, other=0)
    weight = tl.ceil(tl.load(mass + slot, inside, other=0.0) / one)
    # An infinite mass is no number of units; its total is infinite whatever the weights.
    tl.store(weights + place, tl.minimum(weight, _MOST).to(tl.int64), inside)
    if tl.program_id(0) == 0:
        tl.store(unit, one)


@triton.jit(do_not_specialize=[*CHANGING, "b"])
def draw_kernel(
    cumulative,
    order,
    unit,
    uniforms,
    min_sq_dist,
    positions,
    drawn,
    values,
    r,
    b,
    CANDIDATES: tl.constexpr,
):
    """Writes ``drawn`` ``[2, b]``, slots and positions, and ``values``, distances and limits."""
    t = tl.program_id(0) * CANDIDATES + tl.arange(0, CANDIDATES)
    inside = t < b
    total = tl.load(cumulative + r - 1)
    target = (tl.load(uniforms + t, inside, other=0.0) * total.to(tl.float64)).to(tl.int64)
    target = tl.minimum(target, total - 1)
    # The first place whose sum exceeds the target lies in [low, high].
    low = tl.zeros([CANDIDATES], tl.int32)
    high = tl.zeros([CANDIDATES], tl.int32) + r
    width = r
    while width > 0:
        middle = (low + high) // 2
        is_open = low < high
        beyond = tl.load(cumulative + middle, is_open, other=0) > target
        low = tl.where(is_open & (beyond == 0), middle + 1, low)
        high = tl.where(is_open & beyond, middle, high)
        width = width // 2
    place = tl.minimum(low, r - 1)
    above = tl.load(cumulative + place)
    weight = above - tl.load(cumulative + place - 1, place > 0, other=0)
    slot = place.to(tl.int64)
    if order is not None:
        slot = tl.load(order + place)
    tl.store(drawn + t, slot, inside)
    tl.store(drawn + b + t, tl.load(positions + slot), inside)
    tl.store(values + t, tl.load(min_sq_dist + slot), inside)
    second = tl.load(uniforms + b + t, inside, other=0.0)
    tl.store(values + b + t, second * (weight.to(tl.float64) * tl.load(unit)), inside)


@triton.jit
def _total(cumulative, unit, largest, r):
    """Returns the total mass; infinite if a mass is infinite."""
    total = tl.load(cumulative + r - 1).to(tl.float64) * tl.load(unit)
    return tl.where(tl.load(largest) < INF, total, INF)


@triton.jit(do_not_specialize=[*CHANGING, "r_after"])
def report_kernel(
    room,
    before,
    unit_before,
    largest_before,
    r,
    after,
    unit_after,
    largest_after,
    r_after,
    number,
    positions,
    gains,
    m,
    ROWS: tl.constexpr,
):
    """Writes total masses before and after, the number of valid entries, positions and gains."""
    k = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    tl.store(room + 3 + k, tl.load(positions + k, k < m, other=0).to(tl.float64), k < m)
    tl.store(room + 3 + m + k, tl.load(gains + k, k < m, other=0.0), k < m)
    if tl.program_id(0) == 0:
        tl.store(room, _total(before, unit_before, largest_before, r))
        tl.store(room + 1, _total(after, unit_after, largest_after, r_after))
        tl.store(room + 2, tl.load(number).to(tl.float64))


def mass(min_sq_dist: Tensor, n: int, order: Tensor | None) -> Mass:
    """Rounds masses ``[r]`` float64 up and sums them; see `Mass.of`."""
    r = len(min_sq_dist)
    largest = min_sq_dist.amax()
    weights = min_sq_dist.new_empty(r, dtype=torch.int64)
    unit = torch.empty_like(largest)
    launch(
        weight_kernel, (triton.cdiv(r, ROWS),),
        min_sq_dist, order, largest, weights, unit, r, unit_shift(n),
        ROWS=ROWS, num_warps=WARPS,
    )  # fmt: skip
    return Mass(weights.cumsum_(0), order, unit, largest)


def draw(
    mass: Mass, uniforms: Tensor, min_sq_dist: Tensor, positions: Tensor
) -> tuple[Tensor, Tensor]:
    """Draws candidates with probability proportional to their masses, see `Backend.draw`.

    Returns:
        Slots and positions ``[2, b]`` int64, squared distances and limits ``[2, b]`` float64.
    """
    r, b = len(min_sq_dist), uniforms.shape[1]
    drawn, values = positions.new_empty(2, b), uniforms.new_empty(2, b)
    launch(
        draw_kernel, (triton.cdiv(b, CANDIDATES),),
        mass.cumulative, mass.order, mass.unit, uniforms, min_sq_dist, positions, drawn, values,
        r, b, CANDIDATES=CANDIDATES, num_warps=1,
    )  # fmt: skip
    return drawn, values


def report(chosen: Chosen, before: Mass, after: Mass) -> Tensor:
    """Returns in one tensor what the host has to know of a block, see `Backend.report`."""
    m = len(chosen.slots)
    room = chosen.gains.new_empty(3 + 2 * m)
    launch(
        report_kernel, (triton.cdiv(m, ROWS),),
        room, before.cumulative, before.unit, before.largest, len(before.cumulative),
        after.cumulative, after.unit, after.largest, len(after.cumulative),
        chosen.number, chosen.positions, chosen.gains, m,
        ROWS=ROWS, num_warps=WARPS,
    )  # fmt: skip
    return room
