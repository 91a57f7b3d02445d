"""Tiles of rows of the same kind and with similar norms.

The kind of a row is its hallucinated label and its runner-up, the class with the largest entry of
the logit gradient: rows of one kind have similar directions.

They depend on the rows alone: they are made when rows are sorted, and serve all blocks until the
next time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.numba_pruned.jit import jit
from lightning_badge.kernels.numba_pruned.pairs import kinds_of, unit_of

# Loops over the rows of a tile have this length, and vectorize.
TILE = 64


class RowTiles(NamedTuple):
    """Listed rows in tiles; a place is an index of rows in their order here.

    Attributes:
        slots: The slot of each place, ``[r]`` int32; at the end those whose norm is 0.
        starts: First place of each tile, and the end of the last one, ``[tiles + 1]`` int64.
        least: Smallest entries of the unit vectors of each tile, ``[tiles, c]``.
        most: Largest entries, ``[tiles, c]``.
        norms: Smallest and largest norm of each tile, ``[tiles, 2]`` float64.
        units: The unit vectors, ``[tiles, c, TILE]`` float32.
        inverse: Largest norm of the tile over that of the row, ``[tiles, TILE]`` float32.
        sq_norm: Squared norm at each place, ``[r]`` float64.
    """

    slots: Any
    starts: Any
    least: Any
    most: Any
    norms: Any
    units: Any
    inverse: Any
    sq_norm: Any


def row_tiles(rows: Factors, positions: Tensor) -> RowTiles:
    """Arranges the rows at ``positions`` ``[r]``."""
    listed = positions.numpy()
    a, a_norm, all_sq_norm = (
        part.numpy() for part in (rows.logit_grad, rows.logit_grad_norm, rows.sq_norm)
    )
    slots, starts = _arrange(all_sq_norm[listed], kinds_of(a, listed))
    places = listed[slots]
    sq_norm = all_sq_norm[places]
    least, most, norms, units, inverse = _corners(starts, places, a, a_norm, sq_norm)
    return RowTiles(slots, starts, least, most, norms, units, inverse, sq_norm)


@jit
def _arrange(sq_norm: Any, kind: Any) -> Any:
    """Returns the slots by kind and norm, and where tiles begin; norms of 0 come last."""
    order = np.argsort(sq_norm, kind="mergesort")
    n_zero = 0
    while n_zero < len(order) and sq_norm[order[n_zero]] == 0.0:
        n_zero += 1
    order = np.concatenate((order[n_zero:], order[:n_zero]))
    n = len(order) - n_zero
    order[:n] = order[:n][np.argsort(kind[order[:n]], kind="mergesort")]
    order = order.astype(np.int32)
    starts = np.empty(n + 1, np.int64)
    n_tiles = 0
    for place in range(n):
        is_new = place == 0 or kind[order[place]] != kind[order[place - 1]]
        if is_new or place - starts[n_tiles - 1] == TILE:
            starts[n_tiles] = place
            n_tiles += 1
    starts[n_tiles] = n
    return order, starts[: n_tiles + 1]


@jit
def _corners(starts: Any, places: Any, a: Any, a_norm: Any, sq_norm: Any) -> Any:
    n_tiles, c = len(starts) - 1, a.shape[1]
    least, most = np.empty((n_tiles, c), a.dtype), np.empty((n_tiles, c), a.dtype)
    norms = np.empty((n_tiles, 2))
    units = np.zeros((n_tiles, c, TILE), np.float32)
    inverse = np.zeros((n_tiles, TILE), np.float32)
    unit = np.empty(c, a.dtype)
    for tile in range(n_tiles):
        start, stop = starts[tile], starts[tile + 1]
        least[tile], most[tile] = np.inf, -np.inf
        low, high = np.sqrt(sq_norm[start]), np.sqrt(sq_norm[stop - 1])  # sorted by norm
        norms[tile, 0], norms[tile, 1] = low, high
        for place in range(start, stop):
            unit_of(a, places[place], a_norm[places[place]], unit)
            units[tile, :, place - start] = unit
            inverse[tile, place - start] = high / np.sqrt(sq_norm[place])
            for k in range(c):
                least[tile, k] = min(least[tile, k], unit[k])
                most[tile, k] = max(most[tile, k], unit[k])
    return least, most, norms, units, inverse
