"""Exact probability laws of orderings of tiny pools, and a test that samples follow a law."""

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
    discarded: tuple[int, ...] = (),
    centers: npt.NDArray[np.float64] | None = None,
) -> Law:
    """Enumerates the law of sequential k-means++ from its definition.

    Args:
        points: Dense embeddings ``[n, d]``.
        depth: Number of ranks to enumerate; None for all.
        chosen: Rows that have been issued already.
        discarded: Rows that must not be issued.
        centers: Dense embeddings ``[m, d]`` of additional centers, which are not rows.

    Returns:
        The probability of every continuation of ``chosen``.
    """
    n = len(points)
    depth = n if depth is None else depth
    remaining = [row for row in range(n) if row not in chosen and row not in discarded]
    if depth == 0 or not remaining:
        return {(): 1.0}
    all_centers = np.concatenate([points[list(chosen)], points[:0] if centers is None else centers])
    if len(all_centers):
        gaps = points[remaining][:, None, :] - all_centers[None, :, :]
        mass = (gaps**2).sum(axis=2).min(axis=1)
    else:
        mass = np.ones(len(remaining))
    # Without mass, the remaining rows are shuffled uniformly.
    shares = mass / mass.sum() if mass.sum() > 0 else np.full(len(remaining), 1 / len(remaining))
    law: Law = {}
    for row, share in zip(remaining, shares, strict=True):
        if share > 0:
            tails = kmeans_pp_law(
                points, depth - 1, chosen=(*chosen, row), discarded=discarded, centers=centers
            )
            for tail, probability in tails.items():
                law[(row, *tail)] = share * probability
    return law


def p_value(draws: Iterable[tuple[int, ...]], law: Law) -> float:
    """Returns the chi-square p-value of draws under a law; 0 if a draw is impossible.

    Cells are pooled until the expected count of each is at least five.
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


# Tiny pools; together they contain ties, copies, a far outlier, a zero row and many scales.
POOLS: dict[str, npt.NDArray[np.float64]] = {
    "line": np.array([[0.0], [1.0], [3.0], [7.0]]),
    "copies": np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0], [0.0, 0.0]]),
    "outlier": np.array([[0.0], [0.1], [0.2], [100.0], [0.3]]),
    "scales": np.array([[1e-3], [1.0], [-1.0], [1e3], [30.0], [0.0]]),
    "square": np.array(
        [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, 0.0], [2.0, 0.0]]
    ),
}
