"""Placement of text on a crowded map: which points to name, and how to avoid overlaps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Cells per side of the grid; about one name per outer cell is readable.
_CELLS = 14
_ROUNDS = 200


def outermost(places: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Returns the row farthest from the origin in each grid cell, except in the crowded middle.

    Args:
        places: Coordinates ``[n, 2]``.

    Returns:
        Row numbers.

    Example:
        >>> outermost(np.array([[0.0, 0.0], [9.0, 0.1], [9.1, 0.1], [0.1, 9.0]])).tolist()
        [3, 2]
    """
    side = max(float(np.ptp(places, axis=0).max()) / _CELLS, np.finfo(np.float64).tiny)
    radii = np.linalg.norm(places, axis=1)
    outer = np.flatnonzero(radii > 2 * side)
    outer = outer[np.argsort(-radii[outer], kind="stable")]
    _, first = np.unique(np.floor(places[outer] / side), axis=0, return_index=True)
    rows: npt.NDArray[np.int64] = outer[first]
    return rows


def apart(places: npt.NDArray[np.float64], least: float) -> npt.NDArray[np.float64]:
    """Moves points ``[k, 2]`` until they are about ``least`` apart, to place text beside them.

    Example:
        >>> moved = apart(np.array([[0.0, 0.0], [0.1, 0.0], [9.0, 0.0]]), 1.0)
        >>> float(np.linalg.norm(moved[0] - moved[1])) > 0.9, moved[2].tolist()
        (True, [9.0, 0.0])
    """
    # Each point starts slightly off, in a direction of its own, so that equal points separate too.
    turns = 2.4 * np.arange(len(places))
    moved = places + 1e-3 * least * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    for _ in range(_ROUNDS):
        gap = moved[:, None] - moved[None, :]
        distance = np.linalg.norm(gap, axis=2) + np.eye(len(moved)) * least
        push = np.maximum(least - distance, 0.0) / 2
        moved = moved + (gap * (push / distance)[:, :, None]).sum(axis=1)
    settled: npt.NDArray[np.float64] = np.where(
        np.linalg.norm(moved - places, axis=1, keepdims=True) <= 1e-2 * least, places, moved
    )
    return settled
