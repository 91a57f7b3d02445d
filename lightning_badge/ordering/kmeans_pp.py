"""k-means++ seeding (Arthur & Vassilvitskii 2007) as an ordering: BADGE, arXiv 1906.03671.

The walk is blocked and exact. ``min_sq_dist`` only falls as centers are added, so a stale value is
an upper bound: candidates are drawn in a block from the stale values and accepted, one after the
other, with probability now / stale. That is rejection sampling from the law of sequential
k-means++; one update then brings all rows up to date with everything that was accepted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import accept
from lightning_badge.ordering.base import strategy
from lightning_badge.ordering.min_distance import (
    SORT_FROM,
    DistanceWalk,
    FirstCenter,
    View,
    activations,
    gradients,
)
from lightning_badge.ordering.scatter import Scatter
from lightning_badge.ordering.walk import Picks, Walk

SMALLEST_BLOCK = 8
LARGEST_BLOCK = {"torch": 512, "numba": 1024}
# From so many rows on, looking at every row costs more than walking a longer block.
LARGE_POOL, LARGEST_OF_LARGE = 200_000, {"torch": 2048, "numba": 4096}


@strategy("badge", measures_coverage=True)
def badge(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: str,
    first_center: FirstCenter = "uniform",
) -> Walk:
    """Draws each rank with probability proportional to its squared distance to those before it.

    Once every row that is left coincides with a chosen one, the rest follows in a seeded shuffle
    with gain 0.

    Args:
        embedding: The pool.
        seed: Of every draw.
        backend: Who computes distances.
        first_center: ``uniform``, a uniform draw, or ``max_norm``, the longest embedding.

    Raises:
        OrderingError: An unknown ``first_center``.
    """
    return KMeansPP(embedding, gradients, seed=seed, backend=backend, first_center=first_center)


@strategy("badge_labeled", measures_coverage=True)
def badge_labeled(
    embedding: GradientEmbedding, *, seed: int, backend: str, labeled: GradientEmbedding
) -> Walk:
    """BADGE that keeps away from the labeled set too: its embeddings are the first centers."""
    return KMeansPP(embedding, gradients, seed=seed, backend=backend, labeled=labeled)


@strategy("kmeans_pp_penultimate", measures_coverage=True)
def kmeans_pp_penultimate(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: str,
    first_center: FirstCenter = "uniform",
) -> Walk:
    """k-means++ over the penultimate activations: diversity without uncertainty."""
    return KMeansPP(embedding, activations, seed=seed, backend=backend, first_center=first_center)


class KMeansPP(DistanceWalk):
    """The blocked walk of k-means++.

    Args:
        embedding: The pool.
        view: Which factors of an embedding distances are measured between.
        blocks: Smallest and largest number of candidates in a block.
        **more: As `DistanceWalk` takes them.
    """

    def __init__(
        self,
        embedding: GradientEmbedding,
        view: View,
        *,
        blocks: tuple[int, int] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(embedding, view, **more)
        rows = self._engine.rows
        self._scatter = Scatter.of(rows)
        largest = (LARGEST_OF_LARGE if len(rows) >= LARGE_POOL else LARGEST_BLOCK)[
            self._engine.backend
        ]
        self._smallest, self._largest = blocks or (SMALLEST_BLOCK, largest)
        self._block_size = self._smallest
        self._centers_in_block = 0
        self._sorted_at = 0
        self._engine.add_centers(self._labeled)
        self._before = self._engine.min_sq_dist

    def _next_block(self) -> Picks:
        engine = self._engine
        if not engine.left.any():
            return Picks.of([], [])
        self._compact_when_due()
        self._before = engine.min_sq_dist.clone()
        if not self._n_centers():
            slots, gains = self._first_slot()
        else:
            # On the CPU: a GPU's cumulative sums need not repeat.
            mass = engine.min_sq_dist.cpu().cumsum(dim=0)
            if not mass[-1].isfinite():
                raise OrderingError(
                    "squared distances overflow float64; scale the activations down"
                )
            if mass[-1] <= 0:
                return self._tail()
            slots, gains = self._draw(mass)
        positions = engine.choose(slots)
        self._centers = torch.cat([self._centers, positions])
        self._centers_in_block = len(positions)
        return Picks.of(positions.cpu(), gains.cpu(), self._coverage_through(len(slots)))

    def _draw(self, mass: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the slots that a block of candidates leaves accepted, and their gains."""
        engine, b = self._engine, self._block_size
        uniforms = torch.from_numpy(self._draws.random((2, b)))
        drawn = torch.searchsorted(mass, uniforms[0] * mass[-1], right=True)
        # Rounding may lift a target to the total; the last row with any mass is then meant.
        drawn = drawn.clamp(max=int(torch.searchsorted(mass, mass[-1])))
        drawn = drawn.to(engine.positions.device)
        accepted, gains = accept(
            engine.min_sq_dist[drawn],
            uniforms[1].to(drawn.device),
            engine.rows.take(engine.positions[drawn]),
            signed=engine.signed,
            backend=engine.backend,
        )
        engine.counters.blocks += 1
        engine.counters.candidates += b
        engine.counters.accepted += len(accepted)
        if 2 * len(accepted) > b:
            self._block_size = min(2 * b, self._largest)
        elif 4 * len(accepted) < b:
            self._block_size = max(b // 2, self._smallest)
        return drawn[accepted], gains

    def _tail(self) -> Picks:
        """Returns what coincides with the centers, in a seeded shuffle."""
        slots = self._engine.left.nonzero().squeeze(1)
        slots = slots[torch.from_numpy(self._draws.permutation(len(slots))).to(slots.device)]
        self._engine.take_out(slots)
        self._centers_in_block = 0
        coverage = self._scatter.coverage(np.zeros(1))
        return Picks.of(self._engine.positions[slots].cpu(), 0.0, coverage)

    def _coverage_through(self, m: int) -> npt.NDArray[np.float64]:
        """Returns coverage after each of the block's ``m`` ranks: exact at the end, else linear."""
        before = float(self._before.sum())
        after = float(self._engine.min_sq_dist.sum())
        return self._scatter.coverage_between(before if before < np.inf else None, after, m)

    def _compact_when_due(self) -> None:
        """Sorts the rows by norm once that pays, and drops chosen rows once half of them are."""
        n_left = int(self._engine.left.sum())
        first_time = not self._sorted_at and len(self._centers) >= SORT_FROM
        if first_time or (self._sorted_at and 2 * n_left < self._sorted_at):
            self._engine.compact()
            self._sorted_at = n_left

    def _put_back(self, issued: Picks, rest: Picks) -> None:
        engine = self._engine
        engine.min_sq_dist = self._before
        engine.left[engine.slots_of(self._on_device(rest.positions))] = True
        slots = engine.slots_of(self._on_device(issued.positions))
        if self._centers_in_block:
            before = self._centers[: len(self._centers) - self._centers_in_block]
            self._centers = torch.cat([before, engine.choose(slots)])
        else:
            engine.take_out(slots)

    def _add_rows(self, embedding: GradientEmbedding) -> None:
        rows = self._view(embedding)
        self._engine.add_rows(rows, self._centers_from(0))
        self._scatter += Scatter.of(rows)

    def _remove_rows(self, positions: npt.NDArray[np.int64]) -> None:
        gone = self._on_device(positions)
        self._scatter -= Scatter.of(self._engine.rows.take(gone))
        self._engine.take_out(self._engine.slots_of(gone))

    def _pool_state(self) -> dict[str, Any]:
        return {
            "engine": self._engine.state_dict(),
            "before": self._before,
            "centers": self._centers,
            "centers_in_block": self._centers_in_block,
            "sorted_at": self._sorted_at,
            "block_size": self._block_size,
            "blocks": (self._smallest, self._largest),
            "scatter": (self._scatter.n, self._scatter.sq_norm, self._scatter.embedding),
            "draws": self._draws.bit_generator.state,
        }

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        device = self._centers.device
        self._engine.load_state_dict(state["engine"])
        self._before = state["before"].to(device)
        self._centers = state["centers"].to(device)
        self._centers_in_block = state["centers_in_block"]
        self._sorted_at = state["sorted_at"]
        self._block_size = state["block_size"]
        self._smallest, self._largest = state["blocks"]
        self._scatter = Scatter(*state["scatter"])
        self._draws.bit_generator.state = state["draws"]
