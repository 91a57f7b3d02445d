"""Lowers distances tile by tile: four bounds of increasing cost and sharpness rule pairs out.

Notation as in `compiled`.

1. **Tile and box** of centers: see `center_boxes`. The norms of both and the largest
   ``min_sq_dist / N`` of the tile decide.
2. **Tile and center**, in the same way.
3. **Row and center**, by their ``cos``, for all rows of a tile at once.
4. **Row and center**, by ``cos`` and their `shadows`.

The pairs that remain are multiplied, for each row the pair with the lowest bound first.

Bounds hold in floating point. The corners of tile and box have norms of at most ``sqrt(TILE)`` and
``sqrt(BOX)``, so their slack for roundoff is as many times the one of `compiled`. The third bound
is computed in float32, in units of the largest norm of the tile: its roundings cost less than
``16 u (1 + t^2)``, and the slack is more than twice that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.numba_pruned.center_boxes import (
    BOX,
    box_cosines,
    center_boxes,
    center_cosines,
    kept_boxes,
    may_reach,
)
from lightning_badge.kernels.numba_pruned.jit import jit, jit_inner, jit_inner_sum
from lightning_badge.kernels.numba_pruned.pairs import (
    bounds_of,
    cosines_of,
    roundoff_of,
    sq_dist_of,
    unit_of,
)
from lightning_badge.kernels.numba_pruned.row_tiles import TILE, RowTiles
from lightning_badge.kernels.numba_pruned.shadows import Shadows, shadow_cosine
from lightning_badge.kernels.numba_pruned.threads import sum_over_parts

CORNERS_ROUNDOFF = float(np.sqrt(TILE * BOX))
# Tiles whose norms differ by more, or whose distances exceed the norms by more, use float64.
WIDE = 1e12


def update(
    min_sq_dist: Tensor,
    rows: Factors,
    positions: Tensor,
    centers: Factors,
    tiles: RowTiles,
    shadows: Shadows,
    *,
    signed: bool,
) -> int:
    """Lowers ``min_sq_dist`` in place, as `compiled.update` does.

    Args:
        min_sq_dist: ``[r]`` float64.
        rows: All rows ``[n]``, contiguous.
        positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
        centers: ``m`` centers, contiguous.
        tiles: The rows at ``positions`` in tiles.
        shadows: Those of ``rows``.
        signed: Whether an inner product of two rows' activations may be negative.

    Returns:
        Number of pairs that were multiplied.
    """
    known, n_tiles = min_sq_dist.numpy(), len(tiles.starts) - 1
    zeros = tiles.slots[tiles.starts[-1] :]
    if len(zeros):
        known[zeros] = np.minimum(known[zeros], float(centers.sq_norm.min()))
    arguments: list[Any] = [
        known,
        positions.numpy(),
        tiles,
        shadows.of_rows,
        tuple(tensor.numpy() for tensor in rows.tensors),
        tuple(tensor.numpy() for tensor in centers.tensors[:3]),
        center_boxes(centers, shadows, signed=signed),
        signed,
        float(roundoff_of(rows.logit_grad)),
        shadows.slack,
    ]

    def update_part(part: slice) -> int:
        return int(_update(part.start, part.stop, *arguments))

    return sum_over_parts(update_part, n_tiles, len(positions) * len(centers), parts_a_thread=16)


@jit_inner_sum
def _row_bounds(
    units: Any,
    center: Any,
    norm: Any,
    inverse: Any,
    thresholds: Any,
    roundoff: Any,
    signed: bool,
    cosines: Any,
    out: Any,
) -> Any:
    """Writes bounds minus thresholds of all rows of a tile; returns how many are negative."""
    for r in range(TILE):
        cosines[r] = 0.0
    for k in range(len(center)):
        part = center[k]
        for r in range(TILE):
            cosines[r] += part * units[k, r]
    if signed:
        for r in range(TILE):
            cosines[r] = abs(cosines[r])
    found = np.int32(0)
    for r in range(TILE):
        cosine = max(cosines[r], np.float32(0.0)) + roundoff
        t = norm * inverse[r]
        out[r] = t * (t - cosine - cosine) - roundoff * t * t - thresholds[r]
        found += np.int32(out[r] < 0.0)
    return found


@jit
def _update_row(
    best: Any, i: Any, rows: Any, centers: Any, boxes: Any, signed: bool, roundoff: Any
) -> Any:
    """Returns the squared distance of a row, with bounds in float64, and the products."""
    a, h, sq_norm, a_norm = rows
    center_a, center_h, center_sq_norm = centers
    n, m, multiplied = sq_norm[i], len(boxes.norms), 0
    unit, cosines, bounds = np.empty(a.shape[1], a.dtype), np.empty(m, a.dtype), np.empty(m)
    unit_of(a, i, a_norm[i], unit)
    cosines_of(unit, boxes.units, 0, m, signed, cosines)
    bounds_of(cosines, boxes.norms, np.sqrt(n), roundoff, 0, m, bounds)
    for place in range(m):
        if best == np.inf or bounds[place] < best / n - 1.0 + roundoff:
            multiplied += 1
            j = boxes.order[place]
            norms = n + center_sq_norm[j]
            sq_dist = sq_dist_of(a, i, center_a, j, h, i, center_h, j, norms)
            best = min(best, sq_dist)
    return best, multiplied


@jit_inner
def _thresholds(min_sq_dist: Any, tiles: Any, tile: Any, roundoff: Any, out: Any) -> Any:
    """Writes below which bound each row of a tile can change; returns the largest."""
    start = tiles.starts[tile]
    widest = -np.inf
    for r in range(tiles.starts[tile + 1] - start):
        known = min_sq_dist[tiles.slots[start + r]]
        out[r] = known / tiles.sq_norm[start + r] - 1.0 + roundoff if known > 0.0 else -np.inf
        widest = max(widest, out[r])
    return widest


@jit_inner
def _find_pairs(
    tile: Any,
    tiles: Any,
    positions: Any,
    shadows: Any,
    boxes: Any,
    kept: Any,
    thresholds: Any,
    reach: Any,
    corner_slack: Any,
    signed: bool,
    slack: Any,
    shadow_slack: Any,
    along: Any,
    scratch: Any,
    pairs: Any,
) -> Any:
    """Writes the pairs of a tile that are not ruled out; returns their number."""
    pair_row, pair_place, pair_bound = pairs
    start = tiles.starts[tile]
    size = tiles.starts[tile + 1] - start
    high = tiles.norms[tile, 1]
    cosines, bounds, limits = scratch
    limits[:] = -np.inf
    for r in range(size):
        limits[r] = thresholds[r] + slack * (2.0 + abs(thresholds[r]))
    low = tiles.norms[tile, 0]
    found = 0
    for box in kept:
        first, last = boxes.starts[box], boxes.starts[box + 1]
        least, most = tiles.least[tile], tiles.most[tile]
        center_cosines(least, most, boxes.units, first, last, signed, along)
        for place in range(first, last):
            norm = boxes.norms[place]
            if not may_reach(along[place], norm, norm, low, high, corner_slack, reach):
                continue
            number = _row_bounds(
                tiles.units[tile],
                boxes.by_center[place],
                np.float32(norm / high),
                tiles.inverse[tile],
                limits,
                slack,
                signed,
                cosines,
                bounds,
            )
            if number == 0:
                continue
            for r in range(size):
                if bounds[r] < 0.0:
                    i = positions[tiles.slots[start + r]]
                    shadow = shadow_cosine(shadows, i, boxes.shadows, place, signed)
                    shadow = min(max(np.float64(shadow) + shadow_slack, 0.0), 1.0)
                    cosine = (max(np.float64(cosines[r]), 0.0) + slack) * shadow
                    t = norm / np.sqrt(tiles.sq_norm[start + r])
                    bound = t * (t - 2.0 * cosine) - slack * t * t
                    if bound < thresholds[r]:
                        pair_row[found], pair_place[found], pair_bound[found] = r, place, bound
                        found += 1
    return found


@jit_inner
def _multiply(
    n_pairs: Any,
    pairs: Any,
    slots: Any,
    sq_norm: Any,
    min_sq_dist: Any,
    positions: Any,
    rows: Any,
    centers: Any,
    order: Any,
    thresholds: Any,
    roundoff: Any,
    lowest: Any,
) -> Any:
    """Lowers the distances of the rows at ``slots`` by pairs; returns the number of products.

    First the most promising pair of each row, then those that it does not rule out.
    """
    pair_row, pair_place, pair_bound = pairs
    a, h, _, _ = rows
    center_a, center_h, center_sq_norm = centers
    lowest[:] = -1
    for pair in range(n_pairs):
        r = pair_row[pair]
        if lowest[r] < 0 or pair_bound[pair] < pair_bound[lowest[r]]:
            lowest[r] = pair
    multiplied = 0
    for turn in range(2):
        for pair in range(n_pairs):
            r = pair_row[pair]
            if (lowest[r] == pair) != (turn == 0) or pair_bound[pair] >= thresholds[r]:
                continue
            multiplied += 1
            slot, j, n = slots[r], order[pair_place[pair]], sq_norm[r]
            i = positions[slot]
            norms = n + center_sq_norm[j]
            sq_dist = sq_dist_of(a, i, center_a, j, h, i, center_h, j, norms)
            if sq_dist < min_sq_dist[slot]:
                min_sq_dist[slot] = sq_dist
                thresholds[r] = sq_dist / n - 1.0 + roundoff
    return multiplied


@jit
def _update(
    first_tile: Any,
    last_tile: Any,
    min_sq_dist: Any,
    positions: Any,
    tiles: Any,
    shadows: Any,
    rows: Any,
    centers: Any,
    boxes: Any,
    signed: bool,
    roundoff: Any,
    shadow_slack: Any,
) -> Any:
    a, n_boxes, m = rows[0], len(boxes.nearest), len(boxes.norms)
    cosines, kept = np.empty(n_boxes, a.dtype), np.empty(n_boxes, np.int64)
    along = np.empty(m, a.dtype)
    thresholds, lowest = np.empty(TILE), np.empty(TILE, np.int64)
    scratch = (
        np.empty(TILE, np.float32),
        np.empty(TILE, np.float32),
        np.empty(TILE, np.float32),
    )
    pairs = np.empty(TILE * m, np.int32), np.empty(TILE * m, np.int32), np.empty(TILE * m)
    # The slack of float32 bounds, and that of corners.
    slack = np.float32(roundoff + 32 * np.finfo(np.float32).eps)
    corner_slack = CORNERS_ROUNDOFF * roundoff
    multiplied = 0
    for tile in range(first_tile, last_tile):
        slots = tiles.slots[tiles.starts[tile] : tiles.starts[tile + 1]]
        low, high = tiles.norms[tile]
        widest = _thresholds(min_sq_dist, tiles, tile, roundoff, thresholds)
        if widest == -np.inf:
            continue
        if high > WIDE * low or not widest < WIDE:
            for slot in slots:
                if min_sq_dist[slot] > 0.0:
                    min_sq_dist[slot], more = _update_row(
                        min_sq_dist[slot], positions[slot], rows, centers, boxes, signed, roundoff
                    )
                    multiplied += more
            continue
        box_cosines(tiles.least[tile], tiles.most[tile], boxes.least, boxes.most, cosines)
        reach = widest + corner_slack
        near, far = boxes.nearest, boxes.farthest
        n_kept = kept_boxes(cosines, near, far, low, high, corner_slack, reach, kept)
        if n_kept == 0:
            continue
        n_pairs = _find_pairs(
            tile,
            tiles,
            positions,
            shadows,
            boxes,
            kept[:n_kept],
            thresholds,
            reach,
            corner_slack,
            signed,
            slack,
            shadow_slack,
            along,
            scratch,
            pairs,
        )
        multiplied += _multiply(
            n_pairs,
            pairs,
            slots,
            tiles.sq_norm[tiles.starts[tile] : tiles.starts[tile + 1]],
            min_sq_dist,
            positions,
            rows,
            centers,
            boxes.order,
            thresholds,
            roundoff,
            lowest,
        )
    return multiplied
