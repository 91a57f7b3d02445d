"""Boxes of centers of the same kind and with similar norms, and what they rule out.

The kind is that of `row_tiles`. The largest ``cos`` of a row of a tile with a center of a box is at
most the sum over the classes of the largest product of two numbers, one between the tile's bounds
and one between the box's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.numba_pruned.jit import jit, jit_inner, jit_inner_sum
from lightning_badge.kernels.numba_pruned.pairs import kinds_of, units_of
from lightning_badge.kernels.numba_pruned.shadows import Shadows

# Most centers of a box.
BOX = 8
# A box ends where the kind changes if it has that many centers.
FEW = 2


class CenterBoxes(NamedTuple):
    """Centers in boxes; a place is an index of centers in their order here.

    Attributes:
        order: The center at each place, ``[m]`` int64.
        units: Unit vectors, ``[c, m]``.
        norms: Norm at each place, ``[m]`` float64.
        starts: First place of each box, and the end of the last one, ``[boxes + 1]`` int64.
        least: Smallest entries of the unit vectors of each box, ``[c, boxes]``.
        most: Largest entries, ``[c, boxes]``.
        nearest: Smallest norm of each box, ``[boxes]`` float64.
        farthest: Largest norm, ``[boxes]`` float64.
        by_center: Unit vectors, ``[m, c]`` float32.
        shadows: Shadow at each place, ``[m, q + 1]`` float32.
    """

    order: Any
    units: Any
    norms: Any
    starts: Any
    least: Any
    most: Any
    nearest: Any
    farthest: Any
    by_center: Any
    shadows: Any


def center_boxes(centers: Factors, shadows: Shadows, *, signed: bool) -> CenterBoxes:
    """Arranges centers, which are contiguous."""
    a, a_norm, sq_norm = (
        tensor.numpy() for tensor in (centers.logit_grad, centers.logit_grad_norm, centers.sq_norm)
    )
    order, units, norms, starts = _arrange(a, a_norm, sq_norm)
    least, most, nearest, farthest = _boxes(units, norms, starts, signed)
    by_center = np.ascontiguousarray(units.T, dtype=np.float32)
    return CenterBoxes(
        order,
        units,
        norms,
        starts,
        least,
        most,
        nearest,
        farthest,
        by_center,
        shadows.of(centers)[order],
    )


@jit
def _arrange(a: Any, a_norm: Any, sq_norm: Any) -> Any:
    by_norm = np.argsort(sq_norm, kind="mergesort")
    kinds = kinds_of(a, by_norm)
    by_kind = np.argsort(kinds, kind="mergesort")
    order = by_norm[by_kind]
    units, norms = units_of(a, a_norm, sq_norm, order)
    return order, units, norms, _box_starts(kinds[by_kind])


@jit
def _box_starts(kinds: Any) -> Any:
    """Returns where boxes of centers begin, and the end; ``kinds`` ``[m]`` is sorted."""
    m = len(kinds)
    starts = np.empty(m + 1, np.int64)
    n_boxes, first = 0, 0
    for slot in range(m):
        size = slot - first
        if slot == 0 or size == BOX or (size >= FEW and kinds[slot] != kinds[slot - 1]):
            starts[n_boxes] = slot
            n_boxes += 1
            first = slot
    starts[n_boxes] = m
    return starts[: n_boxes + 1]


@jit
def _boxes(units: Any, norms: Any, starts: Any, signed: bool) -> Any:
    """Returns each box's bounds of unit vectors ``[c, boxes]`` and norms ``[boxes]``, low and high.

    If products may be negative, the bounds of unit vectors are symmetric about 0.
    """
    c, n_boxes = len(units), len(starts) - 1
    least, most = np.empty((c, n_boxes), units.dtype), np.empty((c, n_boxes), units.dtype)
    nearest, farthest = np.empty(n_boxes), np.empty(n_boxes)
    for box in range(n_boxes):
        first, stop = starts[box], starts[box + 1]
        for k in range(c):
            low = high = units[k, first]
            for slot in range(first + 1, stop):
                low, high = min(low, units[k, slot]), max(high, units[k, slot])
            reach = max(-low, high)
            least[k, box], most[k, box] = (-reach, reach) if signed else (low, high)
        near = far = norms[first]
        for slot in range(first + 1, stop):
            near, far = min(near, norms[slot]), max(far, norms[slot])
        nearest[box], farthest[box] = near, far
    return least, most, nearest, farthest


@jit_inner_sum
def box_cosines(low: Any, high: Any, least: Any, most: Any, out: Any) -> None:
    """Writes the largest product of any vector of the tile with any of each box."""
    for q in range(len(out)):
        out[q] = 0.0
    for k in range(len(low)):
        small, large = low[k], high[k]
        for q in range(len(out)):
            out[q] += max(
                max(small * least[k, q], small * most[k, q]),
                max(large * least[k, q], large * most[k, q]),
            )


@jit_inner
def may_reach(
    cosine: Any,
    nearest: Any,
    farthest: Any,
    low: Any,
    high: Any,
    roundoff: Any,
    threshold: Any,
) -> Any:
    """Returns whether a center may be nearer to some row of a tile.

    The norm of the center is between ``nearest`` and ``farthest``, those of the rows between
    ``low`` and ``high``.
    """
    cosine = min(max(np.float64(cosine), 0.0), 1.0) + roundoff
    t = min(max(cosine, nearest / high), farthest / low)
    return t * (t - 2.0 * cosine) - roundoff * t * t < threshold


@jit_inner
def kept_boxes(
    cosines: Any,
    nearest: Any,
    farthest: Any,
    low: Any,
    high: Any,
    roundoff: Any,
    threshold: Any,
    out: Any,
) -> Any:
    """Writes the boxes that may be nearer to some row of a tile; returns their number."""
    found = 0
    for q in range(len(cosines)):
        if may_reach(cosines[q], nearest[q], farthest[q], low, high, roundoff, threshold):
            out[found] = q
            found += 1
    return found


@jit_inner_sum
def center_cosines(
    low: Any, high: Any, units: Any, start: Any, stop: Any, signed: bool, out: Any
) -> None:
    """Writes the largest product of any vector of the tile with each center of a box.

    If products may be negative, it is the largest absolute value. Of slices: see `cosines_of`.
    """
    here = out[start:stop]
    here[:] = 0.0
    for k in range(len(low)):
        small, large, row = low[k], high[k], units[k, start:stop]
        if signed:
            large = max(-small, large)
            small = -large
        for q in range(len(here)):
            here[q] += max(small * row[q], large * row[q])
