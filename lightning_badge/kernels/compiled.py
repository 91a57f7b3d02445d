"""The kernels compiled by numba for the CPU: pair by pair, skipping every pair that cannot matter.

A pair (row i, center j) needs its long dot product only if the center may be nearer than what the
row has. Two bounds say cheaply that it is not, with ``N = |a|^2 |h|^2`` and ``g = sqrt(N)``:

- norms: ``d^2 >= (g_i - g_j)^2``; centers sorted by ``g`` leave one window a row;
- class side: ``d^2 >= N_i + N_j - 2 max(cos, 0) g_i g_j`` with ``cos = <a,a'> / |a||a'|``, by
  Cauchy and Schwarz, where every ``<h,h'> >= 0``; with ``|cos|`` where not.

Both stay true in floating point. ``g`` comes from a float64 sum, so its relative error is below
``n_terms * 2^-53``; windows are widened by ``SLACK`` of the norms involved, a thousand times that
at a width of 10,000. ``cos`` is summed over unit vectors in the dtype of the factors: with ``u``
its unit roundoff, the error is below ``(c + 4) * u / (1 - (c + 4) * u)`` (Higham, Accuracy and
Stability of Numerical Algorithms, section 3.1); twice ``(c + 4) * u`` is added to it. The bound
itself is taken relative to ``N_i``, as ``1 + t^2 - 2 cos t`` with ``t = g_j / g_i``, so that no
scale over- or underflows; its four roundings cost less than ``8 u (1 + t^2)``, and twice that is
subtracted.

What is left is multiplied out, and computed again in float64 where float32's digits cancel; pairs
that nearly coincide take the difference form, which gives exactly 0 for copies. The only file that
imports numba, and it is imported on first use.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

import numba
import numpy as np
import torch
from torch import Tensor

from lightning_badge.kernels.blocked import DIFFERENCE_FORM_BELOW, FLOAT64_BELOW, UNDERFLOW
from lightning_badge.kernels.factors import Factors

SLACK = 1e-9
# Beyond this a float32 product may have lost its digits, or all of itself.
OVERFLOW = 1e30
# Centers are tested in groups of this many, which fills vector registers whatever the window.
LANES = 16
# Norm of a lane without a center: no finite distance is beyond its bound.
NOBODY = 1e100
# Pairs below which waking threads costs more than it saves.
SERIAL_BELOW = 1 << 17

_F = TypeVar("_F", bound=Callable[..., Any])


def _jit(function: _F) -> _F:
    """Compiles a function on its first call, once for all processes."""
    return cast(_F, numba.njit(cache=True, nogil=True)(function))


def _jit_sum(function: _F) -> _F:
    """Likewise, free to reorder sums: without that they do not vectorize."""
    reorder = {"reassoc", "contract"}
    return cast(_F, numba.njit(cache=True, nogil=True, fastmath=reorder)(function))


@_jit_sum
def _dot(x: Any, y: Any) -> Any:
    total = x[0] * y[0]
    for k in range(1, len(x)):
        total += x[k] * y[k]
    return total


@_jit_sum
def _dot64(x: Any, y: Any) -> Any:
    total = 0.0
    for k in range(len(x)):
        total += np.float64(x[k]) * np.float64(y[k])
    return total


@_jit
def _difference_form(a: Any, h: Any, a_: Any, h_: Any) -> Any:
    """Returns ``|a (x) h - a' (x) h'|^2`` without subtracting norms."""
    ss = tt = st = 0.0
    for k in range(len(a)):
        s, t = 0.5 * (np.float64(a[k]) + a_[k]), np.float64(a[k]) - a_[k]
        ss += s * s
        tt += t * t
        st += s * t
    uu = vv = uv = 0.0
    for k in range(len(h)):
        u, v = 0.5 * (np.float64(h[k]) + h_[k]), np.float64(h[k]) - h_[k]
        uu += u * u
        vv += v * v
        uv += u * v
    return max(ss * vv + tt * uu + 2.0 * st * uv, 0.0)


@_jit
def _sq_dist(a: Any, h: Any, n: Any, a_: Any, h_: Any, n_: Any) -> Any:
    a_a, h_h = _dot64(a, a_), np.float64(_dot(h, h_))
    sq_dist = n + n_ - 2.0 * a_a * h_h
    if sq_dist >= FLOAT64_BELOW * (n + n_) and UNDERFLOW < abs(h_h) < OVERFLOW:
        return sq_dist
    sq_dist = n + n_ - 2.0 * a_a * _dot64(h, h_)
    if sq_dist >= DIFFERENCE_FORM_BELOW * (n + n_):
        return sq_dist
    return _difference_form(a, h, a_, h_)


@_jit_sum
def _bounds(
    unit: Any,
    g: Any,
    units: Any,
    center_g: Any,
    signed: bool,
    roundoff: Any,
    cosines: Any,
    out: Any,
) -> None:
    """Writes the class-side bounds over ``g^2``, less 1, for the centers of one group.

    ``units`` is ``[c, LANES]``, ``center_g`` ``[LANES]``; it and ``out`` are float64: rows
    and centers may lie thirty decades apart.
    """
    for j in range(LANES):
        cosines[j] = 0.0
    for k in range(len(unit)):
        part = unit[k]
        for j in range(LANES):
            cosines[j] += part * units[k, j]
    for j in range(LANES):
        cosine = abs(cosines[j]) if signed else max(cosines[j], 0.0)
        t = center_g[j] / g
        out[j] = t * (t - 2.0 * (cosine + roundoff)) - roundoff * t * t


@_jit
def _unit(a: Any, norm: Any, out: Any) -> None:
    inverse = 1.0 / norm if norm > 0.0 else 0.0
    for k in range(len(a)):
        out[k] = a[k] * inverse


@_jit
def _window(g: Any, reach: Any, sorted_g: Any) -> Any:
    """Returns which of the centers sorted by norm may be nearer than ``reach``."""
    reach += SLACK * (g + reach)
    low = np.searchsorted(sorted_g, (g - reach) * (1.0 - SLACK))
    return low, np.searchsorted(sorted_g, (g + reach) * (1.0 + SLACK), side="right")


@_jit
def _groups(a: Any, a_norm: Any, g: Any) -> Any:
    """Returns unit vectors ``[groups, c, LANES]`` and norms ``[groups, LANES]`` of centers."""
    n_groups = (len(g) + LANES - 1) // LANES
    units = np.zeros((n_groups, a.shape[1], LANES), a.dtype)
    norms = np.full((n_groups, LANES), NOBODY)
    for j in range(len(g)):
        _unit(a[j], a_norm[j], units[j // LANES, :, j % LANES])
        norms[j // LANES, j % LANES] = g[j]
    return units, norms


@_jit
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
    center_g = np.sqrt(center_sq_norm)
    units, norms = _groups(center_a, center_a_norm, center_g)
    cosines, bounds = np.empty(LANES, a.dtype), np.empty(LANES)
    unit = np.empty(a.shape[1], a.dtype)
    multiplied = 0
    for r in range(len(positions)):
        best = min_sq_dist[r]
        if best == 0.0:
            continue
        i = positions[r]
        n = sq_norm[i]
        g = np.sqrt(n)
        low, high = _window(g, np.sqrt(best), center_g)
        if low >= high:
            continue
        if g == 0.0:
            min_sq_dist[r] = min(best, center_sq_norm[low])
            continue
        _unit(a[i], a_norm[i], unit)
        threshold = best / n - 1.0 + roundoff
        for group in range(low // LANES, (high - 1) // LANES + 1):
            _bounds(unit, g, units[group], norms[group], signed, roundoff, cosines, bounds)
            for lane in range(LANES):
                j = group * LANES + lane
                if bounds[lane] < threshold and j < m:
                    multiplied += 1
                    sq_dist = _sq_dist(a[i], h[i], n, center_a[j], center_h[j], center_sq_norm[j])
                    if sq_dist < best:
                        best = sq_dist
                        threshold = best / n - 1.0 + roundoff
        min_sq_dist[r] = best
    return multiplied


@_jit
def _accept(
    stale: Any,
    uniforms: Any,
    a: Any,
    h: Any,
    sq_norm: Any,
    a_norm: Any,
    signed: bool,
    roundoff: Any,
) -> Any:
    b, c = len(stale), a.shape[1]
    accepted, gains = np.empty(b, np.int64), np.empty(b)
    units = np.zeros(((b + LANES - 1) // LANES, c, LANES), a.dtype)
    norms = np.full(((b + LANES - 1) // LANES, LANES), NOBODY)
    cosines, bounds = np.empty(LANES, a.dtype), np.empty(LANES)
    unit = np.empty(c, a.dtype)
    m = 0
    for t in range(b):
        now, limit = stale[t], uniforms[t] * stale[t]
        n = sq_norm[t]
        g = np.sqrt(n)
        _unit(a[t], a_norm[t], unit)
        for group in range((m + LANES - 1) // LANES):
            if g == 0.0:
                now = min(now, norms[group].min() ** 2)
                continue
            _bounds(unit, g, units[group], norms[group], signed, roundoff, cosines, bounds)
            for lane in range(LANES):
                if now > limit and bounds[lane] < now / n - 1.0 + roundoff:
                    y = accepted[group * LANES + lane]
                    sq_dist = _sq_dist(a[t], h[t], n, a[y], h[y], sq_norm[y])
                    now = min(now, sq_dist)
        if now > limit:
            accepted[m], gains[m] = t, now
            units[m // LANES, :, m % LANES] = unit
            norms[m // LANES, m % LANES] = g
            m += 1
    return accepted[:m], gains[:m]


def update_min_sq_dist(
    min_sq_dist: Tensor, rows: Factors, positions: Tensor, centers: Factors, *, signed: bool
) -> int:
    """Lowers ``min_sq_dist`` in place to the squared distance to the nearest center.

    Args:
        min_sq_dist: ``[r]`` float64.
        rows: All rows ``[n]``, contiguous.
        positions: Which of them ``min_sq_dist`` speaks of, ``[r]`` int64.
        centers: ``m`` of them, sorted by norm.
        signed: Whether some product of activations may be negative.

    Returns:
        How many pairs needed the long product.
    """
    others: list[Any] = [tensor.numpy() for tensor in (*rows.tensors, *centers.tensors)]
    others += [signed, _roundoff(rows.logit_grad)]

    def update(part: slice) -> int:
        known, here = min_sq_dist[part].numpy(), positions[part].numpy()
        return int(_update(known, here, *others))

    threads = torch.get_num_threads()
    if threads == 1 or len(positions) * len(centers) < SERIAL_BELOW:
        return update(slice(None))
    # More parts than threads: rows of a part may have far more centers in reach than others.
    size = -(-len(positions) // (8 * threads))
    parts = [slice(start, start + size) for start in range(0, len(positions), size)]
    # Threads of Python, not of numba: OpenMP's would spin beside torch's and slow both down.
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(update, parts))


def accept(
    stale: Tensor, uniforms: Tensor, candidates: Factors, *, signed: bool
) -> tuple[Tensor, Tensor]:
    """Walks a block of candidates in order and accepts each with probability now / stale.

    Args:
        stale: Squared distance to the nearest center before the block, ``[b]`` float64.
        uniforms: ``[b]`` float64 in [0, 1).
        candidates: ``b`` of them, contiguous.
        signed: Whether some product of activations may be negative.

    Returns:
        Which candidates were accepted ``[m]`` int64, and their squared distances to the nearest
        center at that moment ``[m]`` float64.
    """
    arguments: list[Any] = [t.numpy() for t in (stale, uniforms, *candidates.tensors)]
    arguments += [signed, _roundoff(candidates.logit_grad)]
    accepted, gains = _accept(*arguments)
    return torch.from_numpy(accepted), torch.from_numpy(gains)


def _roundoff(a: Tensor) -> Any:
    """Returns what bounds are loosened by, in the dtype of the factors."""
    eps = torch.finfo(a.dtype).eps
    return (
        np.float32((a.shape[1] + 8) * eps) if a.dtype == torch.float32 else (a.shape[1] + 8) * eps
    )
