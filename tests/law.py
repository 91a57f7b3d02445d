"""Exact laws of orderings of tiny pools, and the test that samples follow them."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy import stats

DRAWS = 30_000
THRESHOLD = 1e-6
SMALLEST_CELL = 5.0

Law = dict[tuple[int, ...], float]


def kmeans_pp_law(
    points: npt.NDArray[np.float64],
    depth: int | None = None,
    *,
    chosen: tuple[int, ...] = (),
    gone: tuple[int, ...] = (),
    centers: npt.NDArray[np.float64] | None = None,
) -> Law:
    """Enumerates the law of sequential k-means++, from the definition.

    Args:
        points: Dense embeddings ``[n, d]``.
        depth: Ranks to enumerate; None for all.
        chosen: Rows that have been issued already.
        gone: Rows that are not to be issued.
        centers: Dense embeddings ``[m, d]`` that are centers without being rows.

    Returns:
        Every continuation of ``chosen`` with its probability.
    """
    n = len(points)
    depth = n if depth is None else depth
    rest = [row for row in range(n) if row not in chosen and row not in gone]
    if depth == 0 or not rest:
        return {(): 1.0}
    anchors = np.concatenate([points[list(chosen)], points[:0] if centers is None else centers])
    if len(anchors):
        gaps = points[rest][:, None, :] - anchors[None, :, :]
        mass = (gaps**2).sum(axis=2).min(axis=1)
    else:
        mass = np.ones(len(rest))
    # Where nothing has mass the rest is a uniform shuffle.
    shares = mass / mass.sum() if mass.sum() > 0 else np.full(len(rest), 1 / len(rest))
    law: Law = {}
    for row, share in zip(rest, shares, strict=True):
        if share > 0:
            tails = kmeans_pp_law(
                points, depth - 1, chosen=(*chosen, row), gone=gone, centers=centers
            )
            for tail, probability in tails.items():
                law[(row, *tail)] = share * probability
    return law


def p_value(draws: Iterable[tuple[int, ...]], law: Law) -> float:
    """Returns the chi-square p-value of draws under a law; 0 for an impossible draw.

    Cells are pooled until each is expected five times.
    """
    counts = Counter(draws)
    if not set(counts) <= set(law):
        return 0.0
    total = counts.total()
    observed, expected = [0.0], [0.0]
    for outcome in sorted(law, key=law.__getitem__):
        if expected[-1] >= SMALLEST_CELL:
            observed.append(0.0)
            expected.append(0.0)
        observed[-1] += counts[outcome]
        expected[-1] += total * law[outcome]
    return float(stats.chisquare(observed, expected).pvalue) if len(observed) > 1 else 1.0


# Tiny pools that between them hold ties, copies, a far outlier, a zero row and many scales.
POOLS: dict[str, npt.NDArray[np.float64]] = {
    "line": np.array([[0.0], [1.0], [3.0], [7.0]]),
    "copies": np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]),
    "outlier": np.array([[0.0], [0.1], [0.2], [100.0], [0.3]]),
    "scales": np.array([[1e-3], [1.0], [-1.0], [1e3], [30.0], [0.0]]),
    "square": np.array(
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, 0.0], [2.0, 0.0]]
    ),
}
