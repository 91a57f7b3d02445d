"""Coverage of any ordering, computed afterwards from a gradient embedding."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels.registry import resolve_backend
from lightning_badge.ordering.distance_selector import gradients
from lightning_badge.ordering.engine import MinDistanceEngine
from lightning_badge.ordering.members import Members
from lightning_badge.ordering.ordering import Ordering
from lightning_badge.ordering.scatter import Scatter
from lightning_badge.sample_ids import positions_of

LONGEST_BLOCK = 1024


def measure_coverage(
    embedding: GradientEmbedding, ordering: Ordering, *, backend: str = "auto"
) -> npt.NDArray[np.float32]:
    """Returns the share of a pool's scatter that an ordering explains after each rank.

    This is the ``coverage`` column of ``badge``, for orderings of any strategy; ``coreset`` and the
    score-based strategies do not measure it. It is exact after 1, 2, 4, ..., 1024 ranks, then after
    every 1024 ranks, and after the last one; linearly interpolated between these.

    Args:
        embedding: The pool.
        ordering: An ordering of rows of the pool.
        backend: The back end that computes distances.

    Returns:
        Coverage after each rank, ``[k]`` float32.

    Raises:
        OrderingError: Ids that are not in the pool.
    """
    chosen = positions_of(
        ordering.sample_ids, embedding.sample_ids, what="ordering", error=OrderingError
    )
    rows = gradients(embedding)
    device = rows.sq_norm.device
    resolved = resolve_backend(backend, device, len(rows), embedding.dtype)
    engine = MinDistanceEngine(rows, Members(len(rows), device), resolved)
    engine.compact()
    scatter = Scatter.of(rows)
    positions = torch.from_numpy(chosen).to(device)
    parts = [np.zeros(0)]
    before = None
    for block in _blocks(len(positions)):
        engine.add_centers([engine.rows.take(positions[block])])
        after = float(engine.min_sq_dist.sum())
        parts.append(scatter.coverage_between(before, after, block.stop - block.start))
        before = after
    return np.concatenate(parts).astype(np.float32)


def _blocks(k: int) -> Iterator[slice]:
    stop = 0
    while stop < k:
        start, stop = stop, min(stop + min(max(stop, 1), LONGEST_BLOCK), k)
        yield slice(start, stop)
