"""Compiled loops over pairs of rows: bounds of gains, and the pairs that matter to them.

Products of tiles run in float32, or in float64 where float32 is too inexact for ``sigma``. They
only decide which pairs matter: the first pass adds up upper bounds of similarities, and a column
skips each row whose most similar center is certainly nearer than the candidate. The similarity of
every pair that remains is computed as in `kernels.similarity`, from an exact product, so it is the
same integer.
"""

from typing import Any

import numpy as np

from lightning_badge.kernels.numba_pruned.jit import jit, jit_sum
from lightning_badge.kernels.numba_pruned.pairs import dot64
from lightning_badge.kernels.similarity import COEFFICIENTS, FARTHEST, GRID_BITS, ONE, SQUARINGS

C0, C1, C2, C3, C4, C5, C6, C7, C8 = COEFFICIENTS
# Relative and absolute slack of similarities in float32: the polynomial and its squares, the
# rounding to a unit, and sums over a tile lose less than a quarter of it.
RELATIVE, ABSOLUTE = 1.0002, 2e-7
# Rows multiplied at once with a panel of candidates.
ROWS = 4
STEP = 2.0**-GRID_BITS


@jit_sum
def _products(rows: Any, i: Any, panel: Any, out: Any) -> None:
    """Writes the products of four rows from ``i`` on with a panel ``[h, b]``; 4 divides ``h``."""
    h, b = panel.shape
    out[:, :b] = 0
    for k in range(0, h, 4):
        w0, w1, w2, w3 = rows[i, k], rows[i, k + 1], rows[i, k + 2], rows[i, k + 3]
        x0, x1, x2, x3 = rows[i + 1, k], rows[i + 1, k + 1], rows[i + 1, k + 2], rows[i + 1, k + 3]
        y0, y1, y2, y3 = rows[i + 2, k], rows[i + 2, k + 1], rows[i + 2, k + 2], rows[i + 2, k + 3]
        z0, z1, z2, z3 = rows[i + 3, k], rows[i + 3, k + 1], rows[i + 3, k + 2], rows[i + 3, k + 3]
        for j in range(b):
            p0, p1, p2, p3 = panel[k, j], panel[k + 1, j], panel[k + 2, j], panel[k + 3, j]
            out[0, j] += w0 * p0 + w1 * p1 + w2 * p2 + w3 * p3
            out[1, j] += x0 * p0 + x1 * p1 + x2 * p2 + x3 * p3
            out[2, j] += y0 * p0 + y1 * p1 + y2 * p2 + y3 * p3
            out[3, j] += z0 * p0 + z1 * p1 + z2 * p2 + z3 * p3


@jit_sum
def _bounds_of_row(
    products: Any,
    norm: Any,
    norms: Any,
    falloff: Any,
    slack: Any,
    best: Any,
    weight: Any,
    bests: Any,
    weights: Any,
    per_candidate: Any,
) -> Any:
    """Adds upper bounds of one row's contributions to the gains of the candidates of a tile.

    Returns:
        The contributions of the candidates to the gain of the row.
    """
    one, farthest = products.dtype.type(RELATIVE), products.dtype.type(FARTHEST)
    absolute, zero, two = products.dtype.type(ABSOLUTE), norm - norm, products.dtype.type(2.0)
    c0, c1, c2 = products.dtype.type(C0), products.dtype.type(C1), products.dtype.type(C2)
    c3, c4, c5 = products.dtype.type(C3), products.dtype.type(C4), products.dtype.type(C5)
    c6 = products.dtype.type(C6)
    total = zero
    for j in range(len(norms)):
        z = min(max(norm + norms[j] - two * products[j] - slack, zero) * falloff, farthest)
        power = c0 + z * (c1 + z * (c2 + z * (c3 + z * (c4 + z * (c5 + z * c6)))))
        power *= power
        power *= power
        power *= power
        power *= power
        power *= power
        power *= power
        power = power * one + absolute
        total += max(power - bests[j], zero) * weights[j]
        per_candidate[j] += max(power - best, zero) * weight
    return total


@jit
def add_bounds(
    rows: Any,
    norms: Any,
    best: Any,
    weights: Any,
    i_start: Any,
    i_stop: Any,
    others: Any,
    other_norms: Any,
    other_best: Any,
    other_weights: Any,
    j_start: Any,
    j_stop: Any,
    falloff: Any,
    slack: Any,
    gains: Any,
    other_gains: Any,
) -> None:
    """Adds upper bounds of the contributions between two tiles, of each side to the other.

    Args:
        rows: ``[r, h]``, padded with ``ROWS`` rows at the end.
        norms: Squared norms of the rows.
        best: Similarity of each row to its most similar center, a share of 1.
        weights: Of the rows.
        i_start: First row of the tile.
        i_stop: End of the tile.
        others: The rows of the other tile, like ``rows``; also the next arguments.
        other_norms: As ``norms``.
        other_best: As ``best``.
        other_weights: As ``weights``.
        j_start: First row of the other tile.
        j_stop: End of the other tile.
        falloff: See `similarity.falloff_of`, for these units.
        slack: Error bound of a squared distance.
        gains: Of the rows, ``[r]`` float64, increased.
        other_gains: Of the other rows, increased.
    """
    b = j_stop - j_start
    panel = np.empty((rows.shape[1], b), rows.dtype)
    for j in range(b):
        panel[:, j] = others[j_start + j]
    products = np.empty((ROWS, b), rows.dtype)
    per_candidate = np.zeros(b, rows.dtype)
    j_norms, j_best = other_norms[j_start:j_stop], other_best[j_start:j_stop]
    j_weights = other_weights[j_start:j_stop]
    for i in range(i_start, i_stop, ROWS):
        _products(rows, i, panel, products)
        for r in range(min(ROWS, i_stop - i)):
            gains[i + r] += _bounds_of_row(
                products[r],
                norms[i + r],
                j_norms,
                falloff,
                slack,
                best[i + r],
                weights[i + r],
                j_best,
                j_weights,
                per_candidate,
            )
    for j in range(b):
        other_gains[j_start + j] += per_candidate[j]


@jit
def _similarity(sq_distance: Any, falloff: Any) -> Any:
    """Returns the similarity as `kernels.similarity.similarities` does, operation by operation."""
    z = min(sq_distance * falloff, FARTHEST)
    power = C8 * z + C7
    power = power * z + C6
    power = power * z + C5
    power = power * z + C4
    power = power * z + C3
    power = power * z + C2
    power = power * z + C1
    power = power * z + C0
    for _ in range(SQUARINGS):
        power = power * power
    return np.int32(power * ONE + 0.5)


@jit
def limit_of(best: Any, falloff: Any) -> Any:
    """Returns a squared distance from which on no candidate is more similar than ``best``."""
    exponent = np.log(ONE / (best + 0.4))
    return exponent / (falloff * 2.0**SQUARINGS) * (1.0 + 1e-9)


@jit_sum
def _any_above(products: Any, half: Any) -> Any:
    largest = products[0] - half[0]
    for j in range(1, len(half)):
        largest = max(largest, products[j] - half[j])
    return largest


@jit
def columns(
    rows: Any,
    norms: Any,
    coordinates: Any,
    sq_norms: Any,
    positions: Any,
    limits: Any,
    best: Any,
    start: Any,
    stop: Any,
    panel: Any,
    half: Any,
    slack: Any,
    candidates: Any,
    falloff: Any,
    of_candidate: Any,
    of_row: Any,
    values: Any,
) -> Any:
    """Lists the pairs of rows and candidates in which the candidate is nearer than any center.

    Args:
        rows: ``[r, h]`` floating, padded with ``ROWS`` rows at the end.
        norms: Squared norms of the rows.
        coordinates: Of all rows on the grid, ``[n, h]`` int32.
        sq_norms: Their squared norms in grid steps, ``[n]``.
        positions: Of ``rows`` in ``coordinates``.
        limits: `limit_of` each row, in the units of ``rows``.
        best: Of each row, ``[r]`` int32.
        start: First row.
        stop: End of the rows.
        panel: The candidates, ``[h, b]``.
        half: Half of their squared norms, ``[b]``.
        slack: Error bound of a squared distance.
        candidates: Their positions, ``[b]``.
        falloff: For grid steps.
        of_candidate: Written: index of the candidate of each pair.
        of_row: Written: the row of each pair.
        values: Written: the similarity of each pair.

    Returns:
        The number of pairs.
    """
    b = len(half)
    products = np.empty((ROWS, b), rows.dtype)
    m = 0
    for i in range(start, stop, ROWS):
        _products(rows, i, panel, products)
        for r in range(i, min(i + ROWS, stop)):
            cut = rows.dtype.type((np.float64(norms[r]) - limits[r] - slack) * 0.5)
            if not _any_above(products[r - i], half) > cut:
                continue
            x = positions[r]
            for j in range(b):
                if products[r - i, j] - half[j] > cut:
                    c = candidates[j]
                    product = dot64(coordinates, x, coordinates, c)
                    value = _similarity(sq_norms[x] + sq_norms[c] - 2.0 * product, falloff)
                    if value > best[r]:
                        of_candidate[m], of_row[m], values[m] = j, r, value
                        m += 1
    return m
