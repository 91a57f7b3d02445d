"""Sequential k-means++ and naive k-center from their definitions, to test the fast selectors.

Dense, float64, one center at a time.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float64]


def sq_dist(rows: Rows, center: Rows) -> npt.NDArray[np.float64]:
    return ((rows - center) ** 2).sum(axis=1)


def kmeans_pp(rows: Rows, first: int, uniform: Callable[[], float], k: int) -> list[int]:
    """Draws rows with probability proportional to the squared distance to the nearest drawn row."""
    chosen = [first]
    nearest = sq_dist(rows, rows[first])
    while len(chosen) < k and nearest.sum() > 0:
        mass = nearest.cumsum()
        chosen.append(int(np.searchsorted(mass, uniform() * mass[-1], side="right")))
        nearest = np.minimum(nearest, sq_dist(rows, rows[chosen[-1]]))
    return chosen


def k_center_radii(rows: Rows, first: int, centers: Sequence[Rows] = ()) -> list[float]:
    """Returns the squared distance of each rank after the first to its nearest center.

    The ranks are those of naive greedy selection that starts with the row ``first``.
    """
    nearest = np.full(len(rows), np.inf)
    for center in centers:
        nearest = np.minimum(nearest, sq_dist(rows, center))
    remaining = np.ones(len(rows), dtype=bool)
    radii, chosen = [], first
    for _ in range(len(rows) - 1):
        remaining[chosen] = False
        nearest = np.minimum(nearest, sq_dist(rows, rows[chosen]))
        chosen = int(np.where(remaining, nearest, -1.0).argmax())
        radii.append(float(nearest[chosen]))
    return radii
