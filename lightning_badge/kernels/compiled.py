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
Stability of Numerical Algorithms, section 3.1); twice ``(c + 4) * u`` is added to it.

What is left is computed in float64; pairs that nearly coincide take the difference form, which
gives exactly 0 for copies. The only file that imports numba, and it is imported on first use.
"""

from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from lightning_badge.kernels.blocked import DIFFERENCE_FORM_BELOW
from lightning_badge.kernels.factors import Factors

SLACK = 1e-9
CHUNK = 256
SERIAL_BELOW = 1 << 17

_THREADS = numba.get_num_threads()

_jit = numba.njit(cache=True, nogil=True)
_jit_sum = numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"}, inline="always")


@_jit_sum
def _dot(x: Any, y: Any) -> Any:
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
    sq_dist = n + n_ - 2.0 * _dot(a, a_) * _dot(h, h_)
    if sq_dist < DIFFERENCE_FORM_BELOW * (n + n_):
        return _difference_form(a, h, a_, h_)
    return sq_dist


@_jit_sum
def _class_bounds(
    unit: Any,
    g: Any,
    units_t: Any,
    center_g: Any,
    signed: bool,
    roundoff: Any,
    cosines: Any,
    out: Any,
) -> None:
    """Writes lower bounds of the squared distances to the centers ``units_t`` ``[c, m]``."""
    # Counting from 0 tells the compiler that no place is negative: only then it vectorizes.
    for j in range(len(out)):
        cosines[j] = 0.0
    for k in range(len(unit)):
        part, units = unit[k], units_t[k]
        for j in range(len(out)):
            cosines[j] += part * units[j]
    n = (1.0 - SLACK) * g * g
    for j in range(len(out)):
        cosine = abs(cosines[j]) if signed else max(cosines[j], 0.0)
        g_ = center_g[j]
        out[j] = n + (1.0 - SLACK) * g_ * g_ - 2.0 * (cosine + roundoff) * g * g_


@_jit
def _window(g: Any, reach: Any, sorted_g: Any) -> Any:
    """Returns which of the centers sorted by norm may be nearer than ``reach``."""
    reach += SLACK * (g + reach)
    low = np.searchsorted(sorted_g, (g - reach) * (1.0 - SLACK))
    return low, np.searchsorted(sorted_g, (g + reach) * (1.0 + SLACK), side="right")


@_jit
def _unit(a: Any, norm: Any, out: Any) -> None:
    inverse = 1.0 / norm if norm > 0.0 else 0.0
    for k in range(len(a)):
        out[k] = a[k] * inverse


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
    roundoff: float,
) -> Any:
    m = len(center_sq_norm)
    center_g = np.sqrt(center_sq_norm)
    center_unit_t = np.empty((a.shape[1], m), a.dtype)
    for j in range(m):
        _unit(center_a[j], center_a_norm[j], center_unit_t[:, j])
    n_chunks = (len(positions) + CHUNK - 1) // CHUNK
    counts = np.zeros((n_chunks, 2), np.int64)
    for chunk in numba.prange(n_chunks):
        cosines, bounds = np.empty(m, a.dtype), np.empty(m)
        unit = np.empty(a.shape[1], a.dtype)
        tested = multiplied = 0
        for r in range(chunk * CHUNK, min((chunk + 1) * CHUNK, len(positions))):
            best = min_sq_dist[r]
            if best == 0.0:
                continue
            i = positions[r]
            g = np.sqrt(sq_norm[i])
            low, high = _window(g, np.sqrt(best), center_g)
            if low >= high:
                continue
            tested += high - low
            _unit(a[i], a_norm[i], unit)
            near = bounds[: high - low]
            units_t, norms = center_unit_t[:, low:high], center_g[low:high]
            _class_bounds(unit, g, units_t, norms, signed, roundoff, cosines, near)
            for j in range(len(near)):
                if near[j] < best:
                    multiplied += 1
                    x = low + j
                    sq_dist = _sq_dist(
                        a[i], h[i], sq_norm[i], center_a[x], center_h[x], center_sq_norm[x]
                    )
                    best = min(best, sq_dist)
            min_sq_dist[r] = best
        counts[chunk, 0] = tested
        counts[chunk, 1] = multiplied
    return counts.sum(axis=0)


# Waking threads costs more than a small update does.
_update_serial: Any = numba.njit(cache=True, nogil=True)(_update)
_update_parallel: Any = numba.njit(cache=True, nogil=True, parallel=True)(_update)


@_jit
def _accept(
    stale: Any,
    uniforms: Any,
    a: Any,
    h: Any,
    sq_norm: Any,
    a_norm: Any,
    signed: bool,
    roundoff: float,
) -> Any:
    b = len(stale)
    accepted = np.empty(b, np.int64)
    gains = np.empty(b)
    m = 0
    accepted_unit_t, accepted_g = np.empty((a.shape[1], b), a.dtype), np.empty(b)
    unit = np.empty(a.shape[1], a.dtype)
    cosines, bounds = np.empty(b, a.dtype), np.empty(b)
    for t in range(b):
        now, limit = stale[t], uniforms[t] * stale[t]
        g = np.sqrt(sq_norm[t])
        _unit(a[t], a_norm[t], unit)
        _class_bounds(
            unit, g, accepted_unit_t[:, :m], accepted_g[:m], signed, roundoff, cosines, bounds[:m]
        )
        for j in range(m):
            # The class side knows nothing of lengths of activations; norms alone do sometimes.
            gap = abs(g - accepted_g[j]) - SLACK * (g + accepted_g[j])
            if bounds[j] < now and (gap <= 0.0 or gap * gap < now):
                x = accepted[j]
                now = min(now, _sq_dist(a[t], h[t], sq_norm[t], a[x], h[x], sq_norm[x]))
                if now <= limit:
                    break
        if now > limit:
            accepted[m], gains[m] = t, now
            accepted_unit_t[:, m], accepted_g[m] = unit, g
            m += 1
    return accepted[:m], gains[:m]


def update_min_sq_dist(
    min_sq_dist: Tensor, rows: Factors, positions: Tensor, centers: Factors, *, signed: bool
) -> tuple[int, int]:
    """Lowers ``min_sq_dist`` in place to the squared distance to the nearest center.

    Args:
        min_sq_dist: ``[r]`` float64.
        rows: All rows ``[n]``, contiguous.
        positions: Which of them ``min_sq_dist`` speaks of, ``[r]`` int64.
        centers: ``m`` of them, sorted by norm.
        signed: Whether some product of activations may be negative.

    Returns:
        How many pairs the class-side bound looked at, and how many needed the long product.
    """
    arguments = (min_sq_dist, positions, *rows.tensors, *centers.tensors)
    update = _update_serial
    if torch.get_num_threads() > 1 and len(positions) * len(centers) > SERIAL_BELOW:
        numba.set_num_threads(min(torch.get_num_threads(), _THREADS))
        update = _update_parallel
    tested, multiplied = update(
        *(tensor.numpy() for tensor in arguments), signed, _roundoff(rows.logit_grad)
    )
    return int(tested), int(multiplied)


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
    arguments = (stale, uniforms, *candidates.tensors)
    walk: Any = _accept
    accepted, gains = walk(
        *(tensor.numpy() for tensor in arguments), signed, _roundoff(candidates.logit_grad)
    )
    return torch.from_numpy(accepted), torch.from_numpy(gains)


def _roundoff(a: Tensor) -> float:
    return (a.shape[1] + 4) * torch.finfo(a.dtype).eps
