"""The rule ``purity`` for the radius ``delta`` of ProbCover, arXiv 2205.11320."""

from __future__ import annotations

from math import floor
from typing import TypeAlias

import numpy as np
import torch

from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels.similarity import GridRows, sq_distances
from lightning_badge.ordering.clusters import BLOCK, STEP, find_clusters, nearest_cluster

Delta: TypeAlias = float | str
PURITY = "purity"
LEAST_PURITY = 0.95
SAMPLE = 2_000


def check_delta(delta: Delta) -> Delta:
    """Returns ``delta``, or raises an OrderingError that lists the valid values."""
    is_number = isinstance(delta, int | float) and not isinstance(delta, bool)
    if delta == PURITY or (is_number and 0 < float(delta) < float("inf")):
        return delta
    raise OrderingError(f"delta: expected a positive number or {PURITY}, got {delta!r}")


def limit_of(delta: Delta, rows: GridRows, classes: int, seed: int) -> float:
    """Returns the largest squared distance of a row in a ball to its center, in grid steps.

    Args:
        delta: A number, or ``purity``, see `pure_limit`.
        rows: The pool, on the sphere.
        classes: Number of classes.
        seed: Of k-means and of the sample.
    """
    if delta == PURITY:
        return pure_limit(rows, classes, seed)
    return float(floor((min(float(delta), 2.0) / STEP) ** 2))


def pure_limit(rows: GridRows, classes: int, seed: int) -> float:
    """Returns the limit of the largest radius at which 95 % of the balls are pure.

    A ball is pure if its rows are in one cluster, of as many as there are classes. So it is pure
    up to the distance of its center to the nearest row of another cluster, and the radius is a
    quantile of these distances. They are computed for 2,000 seeded rows, each in the whole pool.
    """
    cluster = nearest_cluster(rows, find_clusters(rows, max(classes, 2), seed))
    sample = np.sort(np.random.default_rng(seed).permutation(len(rows))[:SAMPLE])
    positions = torch.from_numpy(sample).to(rows.sq_norm.device)
    found = []
    for part in torch.split(positions, BLOCK):
        sq_distance = sq_distances(rows.take(part), rows)
        is_same = cluster[part][:, None] == cluster[None, :]
        found.append(sq_distance.masked_fill_(is_same, torch.inf).amin(dim=1))
    nearest_other = torch.cat(found).sort().values
    impure = floor((1 - LEAST_PURITY) * len(nearest_other) + 1e-9)
    nearest = float(nearest_other[impure])
    # Squared distances are integers. Without a second cluster, all rows are copies.
    return nearest - 1 if nearest < torch.inf else 0.0
