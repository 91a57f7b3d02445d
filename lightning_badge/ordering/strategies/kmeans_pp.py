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
from lightning_badge.kernels import Accepted, accept
from lightning_badge.ordering.base import strategy
from lightning_badge.ordering.draw import draw
from lightning_badge.ordering.min_distance import (
    SORT_FROM,
    DistanceWalk,
    FirstCenter,
    View,
    activations,
    gradients,
    to_host,
)
from lightning_badge.ordering.scatter import Scatter
from lightning_badge.ordering.walk import Picks, Walk

SMALLEST_BLOCK = 8
LARGEST_BLOCK = {"torch": 512, "numba": 1024, "triton": 2048}
# From so many rows on, looking at every row costs more than walking a longer block.
LARGE_POOL, LARGEST_OF_LARGE = 200_000, {"torch": 2048, "numba": 4096, "triton": 2048}


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
        while engine.n_left:
            n_left = self._compact_when_due()
            self._before = engine.min_sq_dist.clone()
            is_first = not self._n_centers()
            mass, (slots, gains, number) = self._first() if is_first else self._draw()
            positions = engine.choose(slots, number)
            # The one wait of a block: what is needed of it comes home together.
            home = [mass, engine.min_sq_dist.sum(), positions, gains]
            before, after, chosen, gained, *counted = to_host(
                *home, *(() if number is None else (number,))
            )
            m = int(counted[0][0]) if counted else len(chosen)
            engine.known_left = n_left - m
            if not is_first:
                if not np.isfinite(before[0]):
                    raise OrderingError(
                        "squared distances overflow float64; scale the activations down"
                    )
                if before[0] <= 0:
                    return self._tail()
                self._grow_or_shrink(m)
            if m:
                self._centers = torch.cat([self._centers, positions[:m]])
                self._centers_in_block = m
                unexplained = None if is_first else float(before[0])
                coverage = self._scatter.coverage_between(unexplained, float(after[0]), m)
                return Picks.of(chosen[:m], gained[:m], coverage)
        return Picks.of([], [])

    def _first(self) -> tuple[Tensor, Accepted]:
        """Returns the mass of rows without a center, and the slot of the first center."""
        slots, gains = self._first_slot()
        return gains.new_full((), torch.inf), Accepted(slots, gains)

    def _draw(self) -> tuple[Tensor, Accepted]:
        """Returns the mass, and the slots that a block of candidates leaves accepted."""
        engine = self._engine
        uniforms = torch.from_numpy(self._draws.random((2, self._block_size)))
        uniforms = uniforms.to(engine.positions.device)
        drawn, mass = draw(engine.min_sq_dist, uniforms[0])
        accepted = accept(
            engine.min_sq_dist[drawn],
            uniforms[1],
            engine.rows.take(engine.positions[drawn]),
            signed=engine.signed,
            backend=engine.backend,
        )
        return mass, accepted._replace(candidates=drawn[accepted.candidates])

    def _grow_or_shrink(self, accepted: int) -> None:
        """Sets the next block's size by how many candidates of this one were accepted."""
        b, counters = self._block_size, self._engine.counters
        counters.blocks += 1
        counters.candidates += b
        counters.accepted += accepted
        if 2 * accepted > b:
            self._block_size = min(2 * b, self._largest)
        elif 4 * accepted < b:
            self._block_size = max(b // 2, self._smallest)

    def _tail(self) -> Picks:
        """Returns what coincides with the centers, in a seeded shuffle."""
        slots = self._engine.left.nonzero().squeeze(1)
        slots = slots[torch.from_numpy(self._draws.permutation(len(slots))).to(slots.device)]
        self._engine.take_out(slots)
        self._centers_in_block = 0
        coverage = self._scatter.coverage(np.zeros(1))
        return Picks.of(self._engine.positions[slots].cpu(), 0.0, coverage)

    def _compact_when_due(self) -> int:
        """Sorts the rows by norm once that pays, and drops chosen rows once half of them are.

        Returns:
            How many are left.
        """
        n_left = self._engine.n_left
        first_time = not self._sorted_at and len(self._centers) >= SORT_FROM
        if first_time or (self._sorted_at and 2 * n_left < self._sorted_at):
            self._engine.compact()
            self._sorted_at = n_left
        return n_left

    def _put_back(self, issued: Picks, rest: Picks) -> None:
        engine = self._engine
        engine.min_sq_dist = self._before
        engine.put_back(self._on_device(rest.positions))
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
