"""k-center greedy as an ordering: CORESET (Sener & Savarese), arXiv 1708.00489.

Each rank is the row farthest from all centers so far. Distances only decrease as centers are added,
so a stale distance is an upper bound. It suffices to update the rows with the largest stale
distances and to pick among them while the best one is farther than every stale distance outside
that block. The result equals greedy selection over all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Backend, Factors
from lightning_badge.kernels.pairwise import pairwise_sq_dist
from lightning_badge.ordering.distance_selector import (
    DistanceSelector,
    FirstCenter,
    View,
    activations,
)
from lightning_badge.ordering.engine import Candidates
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import Block, Picks, Selector
from lightning_badge.ordering.sharded_engine import extend_engine
from lightning_badge.ordering.transfer import to_host

SMALLEST_BLOCK = 128
LARGEST_BLOCK, LARGEST_BLOCK_ON_DEVICE = 4096, 2048
# Number of likely next picks whose distances are computed together. Key: is the device the CPU?
AHEAD = {True: 32, False: 512}


@strategy("coreset", sharded=True)
def coreset(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    labeled: GradientEmbedding | None = None,
    first_center: FirstCenter = "uniform",
) -> Selector:
    """k-center greedy over the penultimate activations.

    Ties go to the lowest row. Exact duplicates of centers come last, in pool order.

    Args:
        embedding: The pool.
        seed: Seed of the first draw.
        backend: Computes distances.
        labeled: Embedding of the labeled set, whose activations are centers from the start.
        first_center: The first center without a labeled set: ``uniform``, a uniform draw, or
            ``max_norm``, the row of the largest norm.

    Raises:
        OrderingError: An unknown ``first_center``.
    """
    return KCenter(
        embedding,
        activations,
        seed=seed,
        backend=backend,
        first_center=first_center,
        labeled=labeled,
    )


class KCenter(DistanceSelector):
    """Lazy k-center greedy; for the arguments see `DistanceSelector`.

    The engine's list of rows is never compacted here, so a slot is a row of this process.
    """

    def __init__(self, embedding: GradientEmbedding, view: View, **more: Any) -> None:
        # Only rows far from all centers are updated: bounds would rule out none of their pairs.
        super().__init__(embedding, view, prune=False, **more)
        # Number of centers that the distance of each row accounts for.
        self._seen = torch.zeros_like(self._engine.positions)
        self._block_size = SMALLEST_BLOCK

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        if not self._n_centers():
            first, gain = self._first()
            return self._block_of(first.cpu().numpy(), gain.cpu().numpy())
        if self._engine.picks_farthest:
            block = self._pick_on_device()
            if block is not None:
                return block
        while True:
            block = self._pick_on_host()
            if block is not None:
                return block

    def _pick_on_host(self) -> Block | None:
        """Picks among the farthest rows; None if the block has to be repeated.

        This happens if the updated distances of all candidates are below the cutoff, so that a row
        outside the block may be farther.
        """
        engine = self._engine
        largest, cutoff = engine.farthest(min(self._block_size, self.members.n_remaining))
        if largest == 0.0:  # exact duplicates of centers, in pool order
            return Block(Picks.of(self.members.remaining.nonzero().squeeze(1).cpu(), 0.0))
        if cutoff == np.inf:
            self._meet_all_centers()
            return None
        # Includes ties at the cutoff, so that all rows outside are strictly nearer.
        candidates = engine.beyond(cutoff, self._seen)
        now = self._up_to_date(candidates)
        engine.assign(candidates.slots, now[candidates.mine])
        self._seen[candidates.slots] = self._n_centers()
        chosen, gains, now = self._pick(candidates.rows, now, cutoff)
        self._grow(len(chosen))
        if not len(chosen):
            return None
        positions = candidates.positions.cpu().numpy()[chosen]
        return self._block_of(positions, gains, candidates.slots, now[candidates.mine])

    def _grow(self, picked: int) -> None:
        """Doubles the block size if few candidates of this block were picked."""
        engine = self._engine
        engine.counters.blocks += 1
        if 4 * picked < self._block_size:
            on_device = engine.picks_farthest
            largest = LARGEST_BLOCK_ON_DEVICE if on_device else LARGEST_BLOCK
            self._block_size = min(2 * self._block_size, largest)

    def _pick_on_device(self) -> Block | None:
        """Picks among the farthest rows with one host sync.

        Returns None if rows outside the block may be as far as the farthest one inside. This
        happens with copies, with rows that were added late, and at the end of the pool. The host
        picks then.
        """
        engine = self._engine
        b = min(self._block_size, self.members.n_remaining)
        stale = engine.min_sq_dist.where(self.members.remaining, -1.0)
        farthest = stale.topk(min(b + 1, len(stale)))
        # In pool order, for ties.
        candidates = farthest.indices[:b].sort().values
        beyond = farthest.values[b:].sum().clamp(min=0.0)
        # Sorted so that adjacent rows account for equally many centers.
        seen, order = self._seen[candidates].sort(stable=True)
        engine.bring_up_to_date(candidates[order], self._centers_from(0), starts=seen)
        self._seen[candidates] = self._n_centers()
        now = engine.min_sq_dist[candidates]
        picked = engine.backend.pick_farthest(now, beyond, engine.rows, candidates)
        chosen, gains, number = to_host(candidates[picked.candidates], picked.gains, picked.number)
        m = int(number[0])
        self._grow(m)
        return (
            self._block_of(chosen[:m].astype(np.int64), gains[:m], candidates, now) if m else None
        )

    def _meet_all_centers(self) -> None:
        """Updates the rows that were compared with no center yet."""
        engine = self._engine
        slots = engine.remaining_slots()
        slots = slots[engine.min_sq_dist[slots] == torch.inf]
        engine.bring_up_to_date(slots, self._centers_from(0))
        self._seen[slots] = self._n_centers()

    def _up_to_date(self, candidates: Candidates) -> Tensor:
        """Returns the squared distances of candidates to all centers, ``[b]``.

        Rows with a similar number of missing centers are updated together.
        """
        now = candidates.sq_dist.clone()
        behind = self._n_centers() - candidates.seen
        doublings = torch.log2(behind.clamp(min=1).double()).long()
        for doubling in torch.unique(doublings[behind > 0]).tolist():
            group = ((doublings == doubling) & (behind > 0)).nonzero().squeeze(1)
            first = int(candidates.seen[group].amin())
            sq_dist = now[group]
            centers = self._own_centers_from(first)
            self._engine.update(sq_dist, group, centers, rows=candidates.rows)
            now[group] = sq_dist
        return self._engine.least(now)

    def _pick(
        self, candidates: Factors, now: Tensor, cutoff: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Tensor]:
        """Picks greedily among up-to-date rows while the largest distance is at least ``cutoff``.

        The next picks are likely to be among the rows that are farthest now, so the distances to
        these are computed together, in one product.

        Returns:
            Indices of the picked candidates, their gains, and the candidates' updated distances.
        """
        rows, sq_dist_now = candidates.double(), now.cpu().numpy().copy()
        chosen: list[int] = []
        gains: list[float] = []
        at_once = min(AHEAD[now.device.type == "cpu"], len(now))
        ahead: dict[int, npt.NDArray[np.float64]] = {}
        # argmax takes the first of equal distances: candidates are in pool order.
        while (gain := sq_dist_now[best := int(sq_dist_now.argmax())]) >= cutoff and gain > 0.0:
            if best not in ahead:
                farthest = np.argpartition(-sq_dist_now, at_once - 1)[:at_once]
                among = np.union1d(farthest, [best])
                sq_dist = pairwise_sq_dist(rows, rows.take(self._on_device(among)))
                ahead = dict(zip(among.tolist(), sq_dist.T.cpu().numpy(), strict=True))
            chosen.append(best)
            gains.append(float(gain))
            np.minimum(sq_dist_now, ahead[best], out=sq_dist_now)
            sq_dist_now[best] = -1.0
        after = torch.from_numpy(sq_dist_now).clamp(min=0.0).to(now.device)
        return np.array(chosen, np.int64), np.array(gains), after

    def _block_of(
        self,
        positions: npt.NDArray[np.int64],
        gains: npt.NDArray[np.float64],
        candidates: Tensor | None = None,
        now: Tensor | None = None,
    ) -> Block:
        """Builds a block of picks with the candidates' distances after all of them.

        Args:
            positions: The picks.
            gains: Their gains.
            candidates: Slots of this process's candidates.
            now: Their distances.
        """
        pending = {"candidates": self._seen[:0] if candidates is None else candidates}
        pending["now"] = self._engine.min_sq_dist[:0] if now is None else now
        return Block(Picks.of(positions, gains), pending)

    def _commit(self, block: Block, n: int) -> None:
        if not block.pending:  # duplicates of centers lower no distance
            return
        # After a partly issued block the stale distances remain valid upper bounds.
        if n == len(block.picks):
            self._engine.assign(block.pending["candidates"], block.pending["now"])
            self._seen[block.pending["candidates"]] += n
        self._rows_published(block.picks.positions[:n])

    def _rows_published(self, positions: npt.NDArray[np.int64]) -> None:
        centers = self._on_device(positions)
        self._engine.retire(self._engine.own(centers))
        self._add_centers(centers)

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior, first
        extend_engine(self._engine, self._view(embedding).contiguous(), embedding.shard)
        self._seen = torch.cat([self._seen, self._seen.new_zeros(len(embedding) - len(self._seen))])

    def _pool_state(self) -> dict[str, Any]:
        return super()._pool_state() | {"seen": self._seen, "block_size": self._block_size}

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        super()._load_pool_state(state)
        self._seen = state["seen"].to(self._seen.device)
        self._block_size = state["block_size"]
