"""The numba kernels for the CPU: loops over pairs that skip pairs which bounds rule out.

A pair (row i, center j) needs its dot product over the width ``h`` only if the center may be nearer
than the row's current nearest center. With ``N = |a|^2 |h|^2``, ``g = sqrt(N)`` and
``cos = <a,a'> / |a||a'|``, the Cauchy-Schwarz inequality gives the lower bound
``d^2 >= N_i + N_j - 2 max(cos, 0) g_i g_j`` if every ``<h,h'> >= 0``; otherwise ``|cos|`` replaces
``max(cos, 0)``. The bound is tested twice:

- for boxes of centers with the same hallucinated label and similar norms: no ``cos`` in a box
  exceeds the product of the row's unit vector with the corner of the box farthest along it;
- for each center of the boxes that were not ruled out.

Both bounds hold in floating point. ``cos`` is summed over unit vectors in the dtype of the factors.
With unit roundoff ``u``, its error is below ``(c + 4) * u / (1 - (c + 4) * u)`` times the product
of the two norms (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), which is 1
for a center and at most ``sqrt(BOX)`` for a corner. The kernels add twice ``(c + 4) * u`` to
``cos``. The bound is computed relative to ``N_i``, as ``1 + t^2 - 2 cos t`` with ``t = g_j / g_i``,
which cannot overflow or underflow. Its four roundings cost less than ``8 u (1 + t^2)``; twice that
is subtracted. Over a range of ``t`` the bound is smallest at the ``t`` nearest to ``cos``.

Inner loops are short so that they vectorize.

Pairs that are not ruled out are multiplied in float32 and recomputed in float64 if float32 digits
cancel. Nearly coincident pairs use the difference form, which is exactly 0 for copies. This
module is imported on first use.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.numba_pruned.jit import jit, jit_sum
from lightning_badge.kernels.numba_pruned.pairs import (
    bounds_of,
    by_label,
    cosines_of,
    roundoff_of,
    sq_dist_of,
    unit_of,
    units_of,
)
from lightning_badge.kernels.numba_pruned.threads import sum_over_parts

# Centers of a box, which have the same hallucinated label and similar norms.
BOX = 16
# A corner of a box is not a unit vector: its norm is at most sqrt(BOX).
BOX_ROUNDOFF = 4.0


@jit_sum
def _largest_cosines(unit: Any, least: Any, most: Any, out: Any) -> None:
    """Writes the largest product of ``unit`` with any vector between ``least`` and ``most``."""
    for q in range(len(out)):
        out[q] = 0.0
    for k in range(len(unit)):
        part = unit[k]
        for q in range(len(out)):
            out[q] += max(part * least[k, q], part * most[k, q])


@jit_sum
def _box_bounds(cosines: Any, nearest: Any, farthest: Any, g: Any, roundoff: Any, out: Any) -> None:
    """Writes the lower bound over all norms between ``nearest`` and ``farthest`` of each box."""
    for q in range(len(out)):
        cosine = min(max(np.float64(cosines[q]), 0.0), 1.0) + roundoff
        t = min(max(cosine, nearest[q] / g), farthest[q] / g)
        out[q] = t * (t - 2.0 * cosine) - roundoff * t * t


@jit
def _boxes(units: Any, norms: Any, signed: bool) -> Any:
    """Returns each box's bounds of unit vectors ``[c, boxes]`` and norms ``[boxes]``, low and high.

    If products may be negative, the bounds of unit vectors are symmetric about 0.
    """
    c, m = units.shape
    n_boxes = (m + BOX - 1) // BOX
    least, most = np.empty((c, n_boxes), units.dtype), np.empty((c, n_boxes), units.dtype)
    nearest, farthest = np.empty(n_boxes), np.empty(n_boxes)
    for box in range(n_boxes):
        members = slice(box * BOX, min((box + 1) * BOX, m))
        for k in range(c):
            low, high = units[k, members].min(), units[k, members].max()
            reach = max(-low, high)
            least[k, box], most[k, box] = (-reach, reach) if signed else (low, high)
        nearest[box], farthest[box] = norms[members].min(), norms[members].max()
    return least, most, nearest, farthest


@jit
def _update(
    min_sq_dist: Any,
    positions: Any,
    a: Any,
    h: Any,
    sq_norm: Any,
    a_norm: Any,
    center_a: Any,
    center_h: Any,
    center_sq_norm: Any,
    center_a_norm: Any,
    signed: bool,
    roundoff: Any,
) -> Any:
    m = len(center_sq_norm)
    order = by_label(center_a)
    units, norms = units_of(center_a, center_a_norm, center_sq_norm, order)
    least, most, nearest, farthest = _boxes(units, norms, signed)
    n_boxes = len(nearest)
    cosines, box_cosines = np.empty(m, a.dtype), np.empty(n_boxes, a.dtype)
    bounds, box_bounds = np.empty(m), np.empty(n_boxes)
    unit = np.empty(a.shape[1], a.dtype)
    multiplied = 0
    for r in range(len(positions)):
        best = min_sq_dist[r]
        if best == 0.0:
            continue
        i = positions[r]
        n = sq_norm[i]
        g = np.sqrt(n)
        if g == 0.0:
            min_sq_dist[r] = min(best, center_sq_norm.min())
            continue
        unit_of(a, i, a_norm[i], unit)
        threshold = best / n - 1.0 + roundoff
        _largest_cosines(unit, least, most, box_cosines)
        _box_bounds(box_cosines, nearest, farthest, g, BOX_ROUNDOFF * roundoff, box_bounds)
        box = 0
        while box < n_boxes:
            if box_bounds[box] >= threshold:
                box += 1
                continue
            start = box * BOX
            while box < n_boxes and box_bounds[box] < threshold:
                box += 1
            stop = min(box * BOX, m)
            cosines_of(unit, units, start, stop, signed, cosines)
            bounds_of(cosines, norms, g, roundoff, start, stop, bounds)
            for slot in range(start, stop):
                if bounds[slot] < threshold:
                    multiplied += 1
                    sq_dist = sq_dist_of(
                        a, h, sq_norm, i, center_a, center_h, center_sq_norm, order[slot]
                    )
                    if sq_dist < best:
                        best = sq_dist
                        threshold = best / n - 1.0 + roundoff
        min_sq_dist[r] = best
    return multiplied


@jit
def _accept(
    before: Any,
    limits: Any,
    a: Any,
    h: Any,
    sq_norm: Any,
    a_norm: Any,
    signed: bool,
    roundoff: Any,
) -> Any:
    b, c = len(before), a.shape[1]
    accepted, gains = np.empty(b, np.int64), np.empty(b)
    units, norms = np.zeros((c, b), a.dtype), np.empty(b)
    cosines, bounds = np.empty(b, a.dtype), np.empty(b)
    unit = np.empty(c, a.dtype)
    m = 0
    for t in range(b):
        now, limit = before[t], limits[t]
        n = sq_norm[t]
        g = np.sqrt(n)
        unit_of(a, t, a_norm[t], unit)
        if g == 0.0:
            for slot in range(m):
                now = min(now, sq_norm[accepted[slot]])
        else:
            cosines_of(unit, units, 0, m, signed, cosines)
            bounds_of(cosines, norms, g, roundoff, 0, m, bounds)
            threshold = now / n - 1.0 + roundoff
            for slot in range(m):
                if bounds[slot] < threshold:
                    sq_dist = sq_dist_of(a, h, sq_norm, t, a, h, sq_norm, accepted[slot])
                    if sq_dist < now:
                        now = sq_dist
                        threshold = now / n - 1.0 + roundoff
                        if now <= limit:
                            break
        if now > limit:
            accepted[m], gains[m] = t, now
            units[:, m], norms[m] = unit, g
            m += 1
    return accepted[:m], gains[:m]


def update(
    min_sq_dist: Tensor, rows: Factors, positions: Tensor, centers: Factors, *, signed: bool
) -> int:
    """Lowers ``min_sq_dist`` in place to the squared distance to the nearest center.

    Args:
        min_sq_dist: ``[r]`` float64.
        rows: All rows ``[n]``, contiguous.
        positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
        centers: ``m`` centers, sorted by norm.
        signed: Whether an inner product of two rows' activations may be negative.

    Returns:
        Number of pairs that were multiplied.
    """
    others: list[Any] = [tensor.numpy() for tensor in (*rows.tensors, *centers.tensors)]
    others += [signed, roundoff_of(rows.logit_grad)]

    def update_part(part: slice) -> int:
        known, here = min_sq_dist[part].numpy(), positions[part].numpy()
        return int(_update(known, here, *others))

    return sum_over_parts(update_part, len(positions), len(positions) * len(centers))


def accept(
    sq_dist: Tensor, limit: Tensor, candidates: Factors, *, signed: bool
) -> tuple[Tensor, Tensor]:
    """Accepts, in order, each candidate whose squared distance still exceeds its limit.

    Args:
        sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
        limit: Limit of each candidate, a squared distance, ``[b]`` float64.
        candidates: ``b`` rows, contiguous.
        signed: Whether an inner product of two rows' activations may be negative.

    Returns:
        Indices of the accepted candidates ``[m]`` int64, and the squared distance of each to its
        nearest center when it was accepted ``[m]`` float64.
    """
    arguments: list[Any] = [t.numpy() for t in (sq_dist, limit, *candidates.tensors)]
    arguments += [signed, roundoff_of(candidates.logit_grad)]
    accepted, gains = _accept(*arguments)
    return torch.from_numpy(accepted), torch.from_numpy(gains)
