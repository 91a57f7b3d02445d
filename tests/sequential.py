"""Sequential k-means++ and naive k-center by their definitions: the oracles of the fast walks.

Dense, float64, one center at a time.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]


def sq_dist(rows: Rows, center: Rows) -> npt.NDArray[np.float64]:
    return ((rows - center) ** 2).sum(axis=1)


def kmeans_pp(rows: Rows, first: int, uniform: Callable[[], float], k: int) -> list[int]:
    """Draws each row with probability proportional to its squared distance to those before."""
    chosen = [first]
    nearest = sq_dist(rows, rows[first])
    while len(chosen) < k and nearest.sum() > 0:
        mass = nearest.cumsum()
        chosen.append(int(np.searchsorted(mass, uniform() * mass[-1], side="right")))
        nearest = np.minimum(nearest, sq_dist(rows, rows[chosen[-1]]))
    return chosen


def k_center_radii(rows: Rows, first: int, centers: Sequence[Rows] = ()) -> list[float]:
    """Returns the squared distance at which each further rank of naive greedy is chosen."""
    nearest = np.full(len(rows), np.inf)
    for center in centers:
        nearest = np.minimum(nearest, sq_dist(rows, center))
    left = np.ones(len(rows), dtype=bool)
    radii, chosen = [], first
    for _ in range(len(rows) - 1):
        left[chosen] = False
        nearest = np.minimum(nearest, sq_dist(rows, rows[chosen]))
        chosen = int(np.where(left, nearest, -1.0).argmax())
        radii.append(float(nearest[chosen]))
    return radii
