"""k-means++ seeding (Arthur & Vassilvitskii 2007) as an ordering: BADGE, arXiv 1906.03671.

The selector draws blocks and is exact. ``min_sq_dist`` only decreases as centers are added, so a
stale value is an upper bound. Candidates are drawn in blocks by weights that are at least the stale
values. They are accepted in order with probability (current squared distance) / weight. This is
rejection sampling from the distribution of sequential k-means++. One update of all rows then
accounts for all accepted centers of the block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend, Chosen
from lightning_badge.ordering.distance_selector import (
    DistanceSelector,
    FirstCenter,
    View,
    activations,
    gradients,
)
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.scatter import Scatter
from lightning_badge.ordering.selector import Block, Picks, Selector
from lightning_badge.ordering.sharded_engine import extend_engine
from lightning_badge.ordering.transfer import to_host

SMALLEST_BLOCK = 8
# From this many rows on, a pass over all rows costs more than a larger block.
LARGE_POOL = 200_000
# From this many centers on, sorting the rows for pruning pays.
SORT_FROM = 64


@strategy("badge", measures_coverage=True, sharded=True)
def badge(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    first_center: FirstCenter = "uniform",
    trials: int = 1,
) -> Selector:
    """Draws rows with probability proportional to their squared distance to the nearest center.

    Distances are between gradient embeddings; every drawn row becomes a center. Exact duplicates
    of centers come last, in a seeded shuffle with gain 0.

    Args:
        embedding: The pool.
        seed: Seed of all random draws.
        backend: Computes distances.
        first_center: ``uniform``, a uniform draw; ``max_norm``, the embedding of the largest norm;
            or ``origin``: the origin is the first center, so that the first row is drawn by its
            squared norm.
        trials: Draw this many candidates for each rank, and choose the one after which the sum of
            squared distances is smallest (greedy k-means++).

    Raises:
        OrderingError: An unknown ``first_center``, or ``trials`` below 1.
    """
    return _badge(embedding, seed, backend, first_center, trials)


@strategy("badge_labeled", measures_coverage=True, sharded=True)
def badge_labeled(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    labeled: GradientEmbedding,
    first_center: FirstCenter = "uniform",
    trials: int = 1,
) -> Selector:
    """BADGE with the embeddings of the labeled set as initial centers.

    Args:
        embedding: The pool.
        seed: Seed of all random draws.
        backend: Computes distances.
        labeled: Embedding of the labeled set.
        first_center: As in `badge`; ``origin`` adds a center, the others are used only if nothing
            is labeled.
        trials: As in `badge`.

    Raises:
        OrderingError: As in `badge`.
    """
    return _badge(embedding, seed, backend, first_center, trials, labeled)


def _badge(
    embedding: GradientEmbedding,
    seed: int,
    backend: Backend,
    first_center: FirstCenter,
    trials: int,
    labeled: GradientEmbedding | None = None,
) -> Selector:
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise OrderingError(f"trials: expected an integer of 1 or more, got {trials!r}")
    more: dict[str, Any] = {"first_center": first_center, "labeled": labeled}
    if trials == 1:
        return KMeansPP(embedding, gradients, seed=seed, backend=backend, **more)
    return GreedyKMeansPP(embedding, gradients, trials, seed=seed, backend=backend, **more)


@strategy("kmeans_pp_penultimate", measures_coverage=True, sharded=True)
def kmeans_pp_penultimate(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    first_center: FirstCenter = "uniform",
) -> Selector:
    """k-means++ over the penultimate activations: diversity without uncertainty."""
    return KMeansPP(embedding, activations, seed=seed, backend=backend, first_center=first_center)


class KMeansPP(DistanceSelector):
    """Blocked, exact k-means++.

    Args:
        embedding: The pool.
        view: Returns the factors between which distances are measured.
        blocks: Smallest and largest number of candidates in a block.
        **more: Arguments of `DistanceSelector`.
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
        backend = self._engine.backend
        self._scatter = self._engine.scatter_from(0)
        large = self._engine.n_pool >= LARGE_POOL
        limit = backend.block_limit_large if large else backend.block_limit
        self._smallest, self._largest = blocks or (SMALLEST_BLOCK, limit)
        self._block_size = self._smallest
        self._sorted_at = 0
        self._engine.add_centers([self._labeled])

    def take(
        self, k: int, coverage: float = np.inf, progress: Callable[[int], None] | None = None
    ) -> Picks:
        """See `Selector.take`."""
        with self._engine.backend.threads_for(self._engine.n_pool):
            return super().take(k, coverage, progress)

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        self._compact_when_due()
        if not self._n_centers():
            return self._first_block()
        while True:
            block = self._drawn_block()
            if block is not None:
                return block

    def _first_block(self) -> Block:
        engine = self._engine
        first, gains = self._first()
        min_sq_dist = engine.with_centers(engine.at(first))
        after, positions, gained = to_host(engine.mass(min_sq_dist).value, first, gains)
        coverage = self._scatter.coverage_between(None, float(after[0]), 1)
        picks = Picks.of(positions, gained, coverage)
        return Block(picks, {"positions": first, "min_sq_dist": min_sq_dist})

    def _drawn_block(self) -> Block | None:
        """Draws a block and returns the accepted candidates; None if none was accepted."""
        engine = self._engine
        mass = engine.mass()
        chosen = engine.choose(self._draws.take(2, self._block_size))
        min_sq_dist = engine.with_centers(chosen)
        # One host sync per block: a single transfer of everything that the host needs.
        report = engine.report(chosen, mass, engine.mass(min_sq_dist)).cpu().numpy()
        before, after, number = report[:3]
        positions, gains = np.split(report[3:], 2)
        if not np.isfinite(before):
            raise OrderingError("squared distances overflow float64; scale the activations down")
        if before == 0:
            return self._tail()
        m = int(number)
        self._grow_or_shrink(m)
        if not m:
            return None
        coverage = self._scatter.coverage_between(float(before), float(after), m)
        picks = Picks.of(positions[:m], gains[:m], coverage)
        return Block(picks, {"positions": chosen.positions[:m], "min_sq_dist": min_sq_dist})

    def _commit(self, block: Block, n: int) -> None:
        if not block.pending:  # duplicates of centers lower no distance
            return
        engine, positions = self._engine, block.pending["positions"][:n]
        if n == len(block.picks):
            engine.commit(block.pending["min_sq_dist"])
        else:
            engine.commit(engine.with_centers(engine.at(positions)))
        self._add_centers(positions)

    def _grow_or_shrink(self, accepted: int) -> None:
        """Sets the next block size from the acceptance rate of this block."""
        b, counters = self._block_size, self._engine.counters
        counters.blocks += 1
        counters.candidates += b
        counters.accepted += accepted
        if 2 * accepted > b:
            self._block_size = min(2 * b, self._largest)
        elif 4 * accepted < b:
            self._block_size = max(b // 2, self._smallest)

    def _tail(self) -> Block:
        """Returns the exact duplicates of centers, in a seeded shuffle."""
        positions = self.members.remaining.nonzero().squeeze(1).cpu().numpy()
        coverage = self._scatter.coverage(np.zeros(1))
        return Block(Picks.of(self._draws.generator.permutation(positions), 0.0, coverage))

    def _compact_when_due(self) -> None:
        """Sorts the rows once that pays, then again whenever enough listed rows are issued."""
        engine, n_remaining = self._engine, self.members.n_remaining
        is_large = engine.n_pool >= LARGE_POOL
        share = engine.backend.compact_below_large if is_large else 0.5
        first_time = not self._sorted_at and self._n_chosen >= SORT_FROM
        if first_time or (self._sorted_at and n_remaining < share * self._sorted_at):
            self._engine.compact()
            self._sorted_at = n_remaining

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior
        rows = self._view(embedding).contiguous()
        extend_engine(self._engine, rows, embedding.shard, self._centers_from(0))
        self._scatter += self._engine.scatter_from(first)

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        super()._rows_discarded(positions)
        self._scatter -= self._engine.scatter_at(self._on_device(positions))

    def _rows_published(self, positions: npt.NDArray[np.int64]) -> None:
        centers = self._on_device(positions)
        self._engine.commit(self._engine.with_centers(self._engine.at(centers)))
        self._add_centers(centers)

    def _pool_state(self) -> dict[str, Any]:
        return super()._pool_state() | {
            "sorted_at": self._sorted_at,
            "block_size": self._block_size,
            "blocks": (self._smallest, self._largest),
            "scatter": (self._scatter.n, self._scatter.sq_norm, self._scatter.embedding),
        }

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        super()._load_pool_state(state)
        self._sorted_at = state["sorted_at"]
        self._block_size = state["block_size"]
        self._smallest, self._largest = state["blocks"]
        self._scatter = Scatter(*state["scatter"])


class GreedyKMeansPP(KMeansPP):
    """k-means++ with several candidates for each rank (Arthur & Vassilvitskii 2007, section 7).

    Each rank depends on the ranks before it, so a block is one rank.

    Args:
        embedding: The pool.
        view: Returns the factors between which distances are measured.
        trials: Number of candidates for each rank.
        **more: Arguments of `DistanceSelector`.
    """

    def __init__(self, embedding: GradientEmbedding, view: View, trials: int, **more: Any) -> None:
        super().__init__(embedding, view, **more)
        self._trials = trials

    def _drawn_block(self) -> Block:
        """Draws candidates, and returns the first of those that leave the smallest sum."""
        engine = self._engine
        mass = engine.mass()
        before = float(mass.value)
        if not np.isfinite(before):
            raise OrderingError("squared distances overflow float64; scale the activations down")
        if before == 0:
            return self._tail()
        best: tuple[float, Chosen, Tensor] | None = None
        for candidate in engine.trials(self._draws.take(self._trials)):
            min_sq_dist = engine.with_centers(candidate)
            left = float(engine.mass(min_sq_dist).value)
            if best is None or left < best[0]:
                best = left, candidate, min_sq_dist
        assert best is not None  # there is at least one trial
        after, chosen, min_sq_dist = best
        engine.counters.blocks += 1
        engine.counters.candidates += self._trials
        engine.counters.accepted += 1
        coverage = self._scatter.coverage(np.array([after]))
        picks = Picks.of(chosen.positions.cpu(), chosen.gains.cpu(), coverage)
        return Block(picks, {"positions": chosen.positions, "min_sq_dist": min_sq_dist})
