"""Sequential k-means++ and naive k-center from their definitions, to test the fast selectors.

Dense, float64, one center at a time.
"""

from collections.abc import Callable, Iterable, Sequence

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


def greedy_coverage(
    similarity: np.ndarray,
    weights: np.ndarray | None = None,
    centers: Iterable[int] = (),
    never: Iterable[int] = (),
) -> tuple[list[int], list[float]]:
    """Orders rows by their increase of the weighted similarity to the nearest center.

    Args:
        similarity: Of all pairs of rows, ``[n, n]``.
        weights: Of the rows, ``[n]``; rows of weight 0 beyond the pool are centers at most.
        centers: Rows that are centers from the start.
        never: Rows that are not chosen.

    Returns:
        The rows, ties to the lowest one, and their gains.
    """
    n = len(similarity)
    similarity = similarity.astype(np.float64)
    weights = np.ones(n) if weights is None else weights
    best = np.zeros(n)
    for center in centers:
        best = np.maximum(best, similarity[center])
    remaining = np.setdiff1d(np.arange(n), [*centers, *never])
    chosen, gains = [], []
    while len(remaining):
        gain = np.maximum(similarity[remaining] - best, 0) @ weights
        # Two rows that are near each other alone have equal gains, but not in floating point.
        pick = int(np.argmax(gain >= gain.max() * (1 - 1e-12)))
        chosen.append(int(remaining[pick]))
        gains.append(gain[pick].item())
        best = np.maximum(best, similarity[chosen[-1]])
        remaining = np.delete(remaining, pick)
    return chosen, gains
