"""Clusters of activations on the unit sphere, by k-means of scikit-learn."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels.similarity import GRID_BITS, GridRows, sq_distances

# The size of a grid step; the norm of a row is at most 1.
STEP = 2.0**-GRID_BITS
# From this many clusters on, mini batches of this many rows, as in the code of arXiv 2202.02794.
MANY_CLUSTERS, MINI_BATCH = 50, 5_000
# Rows of a block of distances; they take this many times the number of other rows in float64.
BLOCK = 128


def on_the_sphere(embedding: GradientEmbedding) -> GridRows:
    """Returns the activations of each row divided by their norm, without the column for a bias."""
    rows = embedding.penultimate[:, :-1] if embedding.bias else embedding.penultimate
    return GridRows.of(rows, normalise=True, step=STEP)


def check_installed() -> None:
    """Raises an OrderingError if scikit-learn is missing."""
    if find_spec("sklearn") is None:
        raise OrderingError(
            "this strategy needs scikit-learn, which is not installed; "
            'pip install "lightning-badge[clusters]"'
        )


def find_clusters(rows: GridRows, clusters: int, seed: int) -> GridRows:
    """Returns the centers of a seeded k-means over at least one row.

    One thread computes them, so that sums have one order.

    Args:
        rows: ``n`` rows on the sphere.
        clusters: Number of centers; ``n`` if there are fewer rows.
        seed: Seed of k-means++.
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    points = (rows.coordinates.double() * STEP).float().cpu().numpy()
    state = int(np.random.SeedSequence(seed).generate_state(1)[0])
    options = {"n_clusters": min(clusters, len(points)), "n_init": 1, "random_state": state}
    if clusters <= MANY_CLUSTERS:
        means = KMeans(**options)
    else:
        means = MiniBatchKMeans(**options, batch_size=MINI_BATCH)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters
        means.fit(points)
    centers = torch.from_numpy(means.cluster_centers_).to(rows.sq_norm.device)
    return GridRows.of(centers, normalise=False, step=STEP)


def nearest_cluster(rows: GridRows, centers: GridRows) -> Tensor:
    """Returns the nearest center of each row, ``[n]`` int64; ties go to the lowest center."""
    found = [
        sq_distances(rows.take(slice(start, start + BLOCK)), centers).argmin(dim=1)
        for start in range(0, len(rows), BLOCK)
    ]
    return torch.cat(found) if found else rows.sq_norm.new_empty(0, dtype=torch.int64)
