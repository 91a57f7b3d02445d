"""Rules for the width ``sigma`` of the similarity ``exp(-d^2 / sigma^2)``."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch

from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels.similarity import GridRows, sq_distances
from lightning_badge.ordering.grid_pool import GridPool

Sigma: TypeAlias = float | str
RULES = ("neighbour", "labeled")
NEIGHBOUR = 20
SAMPLE = 2_000
# Rows of a block of distances; they take this many times the pool's size in float64.
BLOCK = 128


def check_sigma(sigma: Sigma) -> Sigma:
    """Returns ``sigma``, or raises an OrderingError that lists the valid values."""
    is_number = isinstance(sigma, int | float) and not isinstance(sigma, bool)
    if sigma in RULES or (is_number and 0 < float(sigma) < float("inf")):
        return sigma
    raise OrderingError(
        f"sigma: expected a positive number or one of {', '.join(RULES)}, got {sigma!r}"
    )


def choose_sigma(
    sigma: Sigma, pool: GridPool, labeled: GridRows, step: float, seed: int
) -> tuple[float, Sigma]:
    """Returns the width and the rule that it follows.

    Args:
        sigma: A number; ``neighbour``, the median distance to the 20th nearest neighbour; or
            ``labeled``, the smallest positive distance between two labeled rows, which shrinks as
            the labeled set grows (arXiv 2412.20644). Without two different labeled rows,
            ``labeled`` becomes ``neighbour``.
        pool: The pool.
        labeled: The labeled set.
        step: Size of a grid step.
        seed: Seed of the sample of rows whose neighbours are searched.
    """
    if sigma == "labeled":
        between = smallest_distance(labeled)
        if between > 0:
            return step * between, "labeled"
        sigma = "neighbour"
    if sigma == "neighbour":
        return step * neighbour_distance(pool, seed), "neighbour"
    return float(sigma), "number"


def smallest_distance(rows: GridRows) -> float:
    """Returns the smallest positive distance between two rows in grid steps; 0 without one."""
    least = torch.inf
    for start in range(0, len(rows), BLOCK):
        sq_distance = sq_distances(rows.take(slice(start, start + BLOCK)), rows)
        least = min(least, float(sq_distance.where(sq_distance > 0, torch.inf).amin()))
    return float(np.sqrt(least)) if least < torch.inf else 0.0


def neighbour_distance(pool: GridPool, seed: int) -> float:
    """Returns the median distance to the 20th nearest neighbour in grid steps.

    2,000 rows are drawn with a seed, and the neighbours of each are searched in the whole pool. In
    a smaller pool than 21 rows it is the farthest row. If most rows have 20 copies, the distance to
    the nearest row that is not a copy counts instead.
    """
    n = len(pool)
    sample = np.sort(np.random.default_rng(seed).permutation(n)[:SAMPLE])
    positions = torch.from_numpy(sample).to(pool.rows.sq_norm.device)
    k = min(NEIGHBOUR + 1, n)
    parts = torch.split(positions, BLOCK)
    found = [torch.stack(pool.nearest(pool.at(part), k)) for part in parts]
    neighbours, distincts = torch.cat(found, dim=1).sqrt().cpu().numpy()
    median = float(np.median(neighbours))
    distincts = distincts[np.isfinite(distincts)]
    return median if median > 0 or not len(distincts) else float(np.median(distincts))
