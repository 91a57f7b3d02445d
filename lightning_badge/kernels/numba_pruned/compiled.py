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

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.numba_pruned.jit import jit, jit_inner, jit_inner_sum
from lightning_badge.kernels.numba_pruned.pairs import (
    bounds_of,
    by_label_and_norm,
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


@jit_inner_sum
def _largest_cosines(unit: Any, least: Any, most: Any, out: Any) -> None:
    """Writes the largest product of ``unit`` with any vector between ``least`` and ``most``."""
    for q in range(len(out)):
        out[q] = 0.0
    for k in range(len(unit)):
        part = unit[k]
        for q in range(len(out)):
            out[q] += max(part * least[k, q], part * most[k, q])


@jit_inner_sum
def _box_bounds(cosines: Any, nearest: Any, farthest: Any, g: Any, roundoff: Any, out: Any) -> None:
    """Writes the lower bound over all norms between ``nearest`` and ``farthest`` of each box."""
    for q in range(len(out)):
        cosine = min(max(np.float64(cosines[q]), 0.0), 1.0) + roundoff
        t = min(max(cosine, nearest[q] / g), farthest[q] / g)
        out[q] = t * (t - 2.0 * cosine) - roundoff * t * t


class LabelBoxes(NamedTuple):
    """Centers in boxes; a place is an index of centers in their order here.

    Attributes:
        order: The center at each place, ``[m]`` int64.
        units: Unit vectors, ``[c, m]``.
        norms: Norm at each place, ``[m]`` float64.
        least: Smallest entries of the unit vectors of each box, ``[c, boxes]``.
        most: Largest entries, ``[c, boxes]``.
        nearest: Smallest norm of each box, ``[boxes]`` float64.
        farthest: Largest norm, ``[boxes]`` float64.
    """

    order: Any
    units: Any
    norms: Any
    least: Any
    most: Any
    nearest: Any
    farthest: Any


def label_boxes(centers: Factors | Listed, *, signed: bool) -> LabelBoxes:
    """Arranges centers, once for all threads that use them.

    Args:
        centers: ``m`` centers, contiguous.
        signed: Whether an inner product of two rows' activations may be negative.
    """
    tensors = centers.logit_grad, centers.logit_grad_norm, centers.sq_norm
    a, a_norm, sq_norm = (tensor.numpy() for tensor in tensors)
    return LabelBoxes(*_label_boxes(a, a_norm, sq_norm, signed))


@jit
def _label_boxes(a: Any, a_norm: Any, sq_norm: Any, signed: bool) -> Any:
    """Returns the fields of `LabelBoxes`.

    If products may be negative, the bounds of unit vectors are symmetric about 0.
    """
    order = by_label_and_norm(a, sq_norm)
    units, norms = units_of(a, a_norm, sq_norm, order)
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
    return order, units, norms, least, most, nearest, farthest


@jit_inner
def _nearest(
    best: Any,
    enough: Any,
    r: Any,
    i: Any,
    rows: Any,
    centers: Any,
    index: Any,
    is_center: Any,
    boxes: Any,
    signed: bool,
    roundoff: Any,
    scratch: Any,
) -> Any:
    """Returns the squared distance of a row, whose norm is not 0, to its nearest center.

    Args:
        best: The distance so far; the result is at most that.
        enough: Stop once the distance is at most that.
        r: The row among the logit gradients and norms in ``rows``.
        i: The row among the activations in ``rows``.
        rows: Factors of rows, those of `Factors.tensors`.
        centers: The same of centers; ``boxes`` has their places among logit gradients and norms.
        index: Places of centers among the activations in ``centers``.
        is_center: Which of the centers count.
        boxes: `LabelBoxes`.
        signed: As in `update`.
        roundoff: As in `pairs`.
        scratch: Of `_scratch`.

    Returns:
        The distance, and the number of products.
    """
    a, h, sq_norm, a_norm = rows
    center_a, center_h, center_sq_norm, _ = centers
    unit, cosines, bounds, box_cosines, box_bounds = scratch
    m, n_boxes = len(boxes.norms), len(boxes.nearest)
    n = sq_norm[r]
    g = np.sqrt(n)
    unit_of(a, r, a_norm[r], unit)
    threshold = best / n - 1.0 + roundoff
    _largest_cosines(unit, boxes.least, boxes.most, box_cosines)
    slack = BOX_ROUNDOFF * roundoff
    _box_bounds(box_cosines, boxes.nearest, boxes.farthest, g, slack, box_bounds)
    multiplied, box = 0, 0
    while box < n_boxes:
        if box_bounds[box] >= threshold:
            box += 1
            continue
        start = box * BOX
        while box < n_boxes and box_bounds[box] < threshold:
            box += 1
        stop = min(box * BOX, m)
        cosines_of(unit, boxes.units, start, stop, signed, cosines)
        bounds_of(cosines, boxes.norms, g, roundoff, start, stop, bounds)
        for place in range(start, stop):
            j = boxes.order[place]
            if bounds[place] < threshold and is_center[j]:
                multiplied += 1
                norms = n + center_sq_norm[j]
                sq_dist = sq_dist_of(a, r, center_a, j, h, i, center_h, index[j], norms)
                if sq_dist < best:
                    best = sq_dist
                    if best <= enough:
                        return best, multiplied
                    threshold = best / n - 1.0 + roundoff
    return best, multiplied


@jit
def _scratch(a: Any, boxes: Any) -> Any:
    m, n_boxes = len(boxes.norms), len(boxes.nearest)
    unit, cosines, bounds = np.empty(a.shape[1], a.dtype), np.empty(m, a.dtype), np.empty(m)
    return unit, cosines, bounds, np.empty(n_boxes, a.dtype), np.empty(n_boxes)


@jit
def _update(
    min_sq_dist: Any,
    places: Any,
    positions: Any,
    rows: Any,
    centers: Any,
    boxes: Any,
    signed: bool,
    roundoff: Any,
) -> Any:
    sq_norm, center_sq_norm = rows[2], centers[2]
    index, is_center = np.arange(len(center_sq_norm)), np.ones(len(center_sq_norm), np.bool_)
    scratch = _scratch(rows[0], boxes)
    multiplied = 0
    for k in range(len(positions)):
        best, r = min_sq_dist[k], places[k]
        if best == 0.0:
            continue
        if sq_norm[r] == 0.0:
            min_sq_dist[k] = min(best, center_sq_norm.min())
            continue
        min_sq_dist[k], products = _nearest(
            best,
            0.0,
            r,
            positions[k],
            rows,
            centers,
            index,
            is_center,
            boxes,
            signed,
            roundoff,
            scratch,
        )
        multiplied += products
    return multiplied


@jit
def _accept(
    before: Any,
    limits: Any,
    positions: Any,
    candidates: Any,
    boxes: Any,
    signed: bool,
    roundoff: Any,
) -> Any:
    sq_norm, b = candidates[2], len(before)
    accepted, gains = np.empty(b, np.int64), np.empty(b)
    is_center = np.zeros(b, np.bool_)
    scratch = _scratch(candidates[0], boxes)
    smallest = np.inf
    m = 0
    for t in range(b):
        now, limit = before[t], limits[t]
        if sq_norm[t] == 0.0:
            now = min(now, smallest)
        else:
            now, _ = _nearest(
                now,
                limit,
                t,
                positions[t],
                candidates,
                candidates,
                positions,
                is_center,
                boxes,
                signed,
                roundoff,
                scratch,
            )
        if now > limit:
            accepted[m], gains[m] = t, now
            is_center[t] = True
            smallest = min(smallest, sq_norm[t])
            m += 1
    return accepted[:m], gains[:m]


@dataclass(frozen=True, eq=False)
class Listed:
    """Copies of what the bounds of listed rows need, so that memory is read in order.

    Attributes:
        logit_grad: ``[r, c]``.
        sq_norm: ``[r]`` float64.
        logit_grad_norm: ``[r]`` float64.
    """

    logit_grad: Tensor
    sq_norm: Tensor
    logit_grad_norm: Tensor

    @classmethod
    def of(cls, rows: Factors, positions: Tensor) -> Listed:
        """Copies them for the rows at ``positions`` ``[r]``."""
        tensors = rows.logit_grad, rows.sq_norm, rows.logit_grad_norm
        return cls(*(tensor[positions] for tensor in tensors))

    def beside(self, penultimate: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns them in the order of `Factors.tensors`, with activations of any rows."""
        return self.logit_grad, penultimate, self.sq_norm, self.logit_grad_norm


def update(
    min_sq_dist: Tensor,
    rows: Factors,
    positions: Tensor,
    centers: Factors,
    boxes: LabelBoxes,
    *,
    signed: bool,
    listed: Listed | None = None,
) -> int:
    """Lowers ``min_sq_dist`` in place to the squared distance to the nearest center.

    Args:
        min_sq_dist: ``[r]`` float64.
        rows: All rows ``[n]``, contiguous.
        positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
        centers: ``m`` centers, contiguous.
        boxes: Those of ``centers``.
        signed: Whether an inner product of two rows' activations may be negative.
        listed: That of the rows at ``positions``.

    Returns:
        Number of pairs that were multiplied.
    """
    places, tensors = positions, rows.tensors
    if listed is not None:
        places, tensors = torch.arange(len(positions)), listed.beside(rows.penultimate)
    of_rows = tuple(tensor.numpy() for tensor in tensors)
    of_centers = tuple(tensor.numpy() for tensor in centers.tensors)
    roundoff = roundoff_of(rows.logit_grad)

    def update_part(part: slice) -> int:
        known, at, here = (x[part].numpy() for x in (min_sq_dist, places, positions))
        return int(_update(known, at, here, of_rows, of_centers, boxes, signed, roundoff))

    return sum_over_parts(update_part, len(positions), len(positions) * len(centers))


def accept(
    sq_dist: Tensor, limit: Tensor, rows: Factors, positions: Tensor, *, signed: bool
) -> tuple[Tensor, Tensor]:
    """Accepts, in order, each candidate whose squared distance still exceeds its limit.

    Args:
        sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
        limit: Limit of each candidate, a squared distance, ``[b]`` float64.
        rows: All rows, contiguous.
        positions: The candidates, ``[b]`` int64.
        signed: Whether an inner product of two rows' activations may be negative.

    Returns:
        Indices of the accepted candidates ``[m]`` int64, and the squared distance of each to its
        nearest center when it was accepted ``[m]`` float64.
    """
    listed = Listed.of(rows, positions)
    accepted, gains = _accept(
        sq_dist.numpy(),
        limit.numpy(),
        positions.numpy(),
        tuple(tensor.numpy() for tensor in listed.beside(rows.penultimate)),
        label_boxes(listed, signed=signed),
        signed,
        roundoff_of(rows.logit_grad),
    )
    return torch.from_numpy(accepted), torch.from_numpy(gains)
