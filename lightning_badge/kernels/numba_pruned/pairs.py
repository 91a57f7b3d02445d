"""One row and one center: their squared distance, and a bound that needs only the classes.

Notation and roundoff are those of `compiled`. Functions take a matrix and a row index instead of a
row: creating a view for each pair would cost as much as its product.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.kernels.numba_pruned.jit import jit, jit_inner, jit_inner_sum
from lightning_badge.kernels.precision import DIFFERENCE_FORM_BELOW, FLOAT64_BELOW, UNDERFLOW

# Above this a float32 product may be inexact or infinite.
OVERFLOW = 1e30


@jit_inner_sum
def _dot(x: Any, i: Any, y: Any, j: Any) -> Any:
    total = x[i, 0] * y[j, 0]
    for k in range(1, x.shape[1]):
        total += x[i, k] * y[j, k]
    return total


@jit_inner_sum
def dot64(x: Any, i: Any, y: Any, j: Any) -> Any:
    """Returns an inner product that is summed in float64; of integers, every sum is exact."""
    total = 0.0
    for k in range(x.shape[1]):
        total += np.float64(x[i, k]) * np.float64(y[j, k])
    return total


@jit_inner
def _half_sum_and_difference(x: Any, i: Any, y: Any, j: Any) -> Any:
    """Returns ``|s|^2``, ``|t|^2`` and ``<s,t>`` of half the sum and the difference of two rows."""
    ss = tt = st = 0.0
    for k in range(x.shape[1]):
        s, t = 0.5 * (np.float64(x[i, k]) + y[j, k]), np.float64(x[i, k]) - y[j, k]
        ss += s * s
        tt += t * t
        st += s * t
    return ss, tt, st


@jit_inner
def _difference_form(a: Any, r: Any, a_: Any, r_: Any, h: Any, i: Any, h_: Any, i_: Any) -> Any:
    """Returns ``|a (x) h - a' (x) h'|^2`` without subtracting norms."""
    ss, tt, st = _half_sum_and_difference(a, r, a_, r_)
    uu, vv, uv = _half_sum_and_difference(h, i, h_, i_)
    return max(ss * vv + tt * uu + 2.0 * st * uv, 0.0)


@jit_inner
def sq_dist_of(
    a: Any, r: Any, a_: Any, r_: Any, h: Any, i: Any, h_: Any, i_: Any, norms: Any
) -> Any:
    """Returns the squared distance of a row and a center, as exact as `precision` says.

    Args:
        a: Logit gradients of rows.
        r: The row among them.
        a_: Logit gradients of centers.
        r_: The center among them.
        h: Activations of rows.
        i: The row among these.
        h_: Activations of centers.
        i_: The center among these.
        norms: Sum of the squared norms of the two.
    """
    a_a, h_h = dot64(a, r, a_, r_), np.float64(_dot(h, i, h_, i_))
    sq_dist = norms - 2.0 * a_a * h_h
    if sq_dist >= FLOAT64_BELOW * norms and UNDERFLOW < abs(h_h) < OVERFLOW:
        return sq_dist
    sq_dist = norms - 2.0 * a_a * dot64(h, i, h_, i_)
    if sq_dist >= DIFFERENCE_FORM_BELOW * norms:
        return sq_dist
    return _difference_form(a, r, a_, r_, h, i, h_, i_)


@jit_inner_sum
def cosines_of(unit: Any, units: Any, start: Any, stop: Any, signed: bool, out: Any) -> None:
    """Writes the products of ``unit`` ``[c]`` with ``units`` ``[c, m]``; absolute if ``signed``.

    Only from ``start`` to ``stop``. Of slices, because an index that numba cannot prove to be 0 or
    more is compared with 0 each time, which keeps a loop from vectorizing.
    """
    here = out[start:stop]
    here[:] = 0.0
    for k in range(len(unit)):
        part, row = unit[k], units[k, start:stop]
        for q in range(len(here)):
            here[q] += part * row[q]
    if signed:
        for q in range(len(here)):
            here[q] = abs(here[q])


@jit_inner_sum
def bounds_of(
    cosines: Any, norms: Any, g: Any, roundoff: Any, start: Any, stop: Any, out: Any
) -> None:
    """Writes lower bounds of ``d^2 / g^2 - 1`` that hold despite roundoff."""
    cosines, norms, here = cosines[start:stop], norms[start:stop], out[start:stop]
    for q in range(len(here)):
        cosine = max(np.float64(cosines[q]), 0.0) + roundoff
        t = norms[q] / g
        here[q] = t * (t - 2.0 * cosine) - roundoff * t * t


@jit_inner
def unit_of(a: Any, i: Any, norm: Any, out: Any) -> None:
    """Writes row ``i`` over its norm; zeros where that is 0."""
    inverse = 1.0 / norm if norm > 0.0 else 0.0
    for k in range(a.shape[1]):
        out[k] = a[i, k] * inverse


@jit
def by_label_and_norm(a: Any, sq_norm: Any) -> Any:
    """Returns an order of centers by hallucinated label, the class of the smallest entry.

    Those with the same one are sorted by norm.
    """
    order = np.argsort(sq_norm, kind="mergesort")
    label = np.empty(len(a), np.int64)
    for place in range(len(a)):
        label[place] = np.argmin(a[order[place]])
    return order[np.argsort(label, kind="mergesort")]


@jit
def kinds_of(a: Any, places: Any) -> Any:
    """Returns the classes of the smallest and largest entry of the rows at ``places``, as one."""
    kinds, c = np.empty(len(places), np.int64), a.shape[1]
    for r in range(len(places)):
        i, low, high = places[r], 0, 0
        for k in range(1, c):
            if a[i, k] < a[i, low]:
                low = k
            if a[i, k] > a[i, high]:
                high = k
        kinds[r] = low * c + high
    return kinds


@jit
def units_of(a: Any, a_norm: Any, sq_norm: Any, order: Any) -> Any:
    """Returns unit vectors ``[c, m]`` and norms ``[m]`` of centers, in ``order``."""
    m = len(order)
    units, norms = np.empty((a.shape[1], m), a.dtype), np.empty(m)
    for slot in range(m):
        j = order[slot]
        unit_of(a, j, a_norm[j], units[:, slot])
        norms[slot] = np.sqrt(sq_norm[j])
    return units, norms


def roundoff_of(a: Tensor) -> Any:
    """Returns the slack that is added to bounds, in the dtype of the factors."""
    eps = torch.finfo(a.dtype).eps
    return (
        np.float32((a.shape[1] + 8) * eps) if a.dtype == torch.float32 else (a.shape[1] + 8) * eps
    )
