"""k-center greedy as an ordering: CORESET (Sener & Savarese), arXiv 1708.00489.

Each rank goes to the row that is farthest from the centers so far. Distances only fall as centers
are added, so a stale one is an upper bound: it is enough to update the largest of them and to
choose among those rows while the best of them beats every stale value outside. The result is that
of the greedy rule over all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Backend
from lightning_badge.kernels.pairwise import pairwise_sq_dist
from lightning_badge.ordering.distance_selector import (
    DistanceSelector,
    FirstCenter,
    View,
    activations,
    to_host,
)
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import Block, Picks, Selector

SMALLEST_BLOCK = 128
LARGEST_BLOCK, LARGEST_BLOCK_ON_DEVICE = 4096, 2048
# Picks that distances are computed for together, by whether it is the CPU that computes.
AHEAD = {True: 32, False: 512}


@strategy("coreset")
def coreset(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    labeled: GradientEmbedding | None = None,
    first_center: FirstCenter = "uniform",
) -> Selector:
    """k-center greedy over the penultimate activations, away from the labeled set where given.

    Ties go to the lowest row. Exact duplicates of centers come last, in the pool's order.

    Args:
        embedding: The pool.
        seed: Of the first draw.
        backend: Computes distances.
        labeled: Whose activations are centers already.
        first_center: Without any: ``uniform``, a uniform draw, or ``max_norm``, the longest row.

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
    """Lazy k-center greedy; arguments are those of `DistanceSelector`.

    The engine never sorts or drops rows here: a slot is a position.
    """

    def __init__(self, embedding: GradientEmbedding, view: View, **more: Any) -> None:
        # Rows that are brought up to date are all far away: bounds rule out none of their pairs.
        super().__init__(embedding, view, prune=False, **more)
        # How many centers the distance of each row accounts for.
        self._seen = torch.zeros_like(self._engine.positions)
        self._block_size = SMALLEST_BLOCK

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        if not self._n_centers():
            first, gain = self._first_slot()
            return self._block_of(first.cpu().numpy(), gain.cpu().numpy())
        if self._engine.backend.picks_farthest:
            block = self._pick_on_device()
            if block is not None:
                return block
        while True:
            block = self._pick_on_host()
            if block is not None:
                return block

    def _pick_on_host(self) -> Block | None:
        """Returns picks among the farthest rows; None where stale values hid farther ones."""
        engine = self._engine
        remaining = engine.remaining_slots()
        stale = engine.min_sq_dist[remaining]
        if stale.amax() == 0.0:  # exact duplicates of centers, in the pool's order
            return Block(Picks.of(remaining.cpu(), 0.0))
        cutoff = stale.topk(min(self._block_size, len(remaining))).values[-1]
        # With the ties of the smallest, so that all rows outside are strictly nearer.
        candidates = remaining[stale >= cutoff]
        self._bring_up_to_date(candidates)
        if cutoff == torch.inf:
            return None
        chosen, gains, now = self._pick(candidates, float(cutoff))
        self._grow(len(chosen))
        if not len(chosen):
            return None
        return self._block_of(candidates.cpu().numpy()[chosen], gains, candidates, now)

    def _grow(self, picked: int) -> None:
        """Lengthens the next block where few of this one's candidates were picked."""
        engine = self._engine
        engine.counters.blocks += 1
        if 4 * picked < self._block_size:
            on_device = engine.backend.picks_farthest
            largest = LARGEST_BLOCK_ON_DEVICE if on_device else LARGEST_BLOCK
            self._block_size = min(2 * self._block_size, largest)

    def _pick_on_device(self) -> Block | None:
        """Picks from the farthest rows with one host sync.

        Nothing is picked where rows outside the block may be as far as the farthest inside: copies,
        rows that were added late, and the end. Those are picked on the host.
        """
        engine = self._engine
        b = min(self._block_size, self.members.n_remaining)
        stale = engine.min_sq_dist.where(self.members.remaining, -1.0)
        farthest = stale.topk(min(b + 1, len(stale)))
        # In the order of the pool, for ties.
        candidates = farthest.indices[:b].sort().values
        beyond = farthest.values[b:].sum().clamp(min=0.0)
        # Rows whose distances account for equally many centers stand side by side.
        seen, order = self._seen[candidates].sort(stable=True)
        engine.bring_up_to_date(candidates[order], self._centers_from(0), starts=seen)
        self._seen[candidates] = self._n_centers()
        now = engine.min_sq_dist[candidates]
        rows = engine.rows.take(candidates)
        picked = engine.backend.pick_farthest(now, beyond, rows)
        chosen, gains, number = to_host(candidates[picked.candidates], picked.gains, picked.number)
        m = int(number[0])
        self._grow(m)
        return (
            self._block_of(chosen[:m].astype(np.int64), gains[:m], candidates, now) if m else None
        )

    def _bring_up_to_date(self, slots: Tensor) -> None:
        """Updates rows with the centers that their distances do not account for yet.

        Rows that lack about equally many are updated together.
        """
        total = self._n_centers()
        behind = total - self._seen[slots]
        doublings = torch.log2(behind.clamp(min=1).double()).long()
        for doubling in torch.unique(doublings[behind > 0]).tolist():
            group = slots[(doublings == doubling) & (behind > 0)]
            first = int(self._seen[group].amin())
            self._engine.bring_up_to_date(group, self._centers_from(first))
        self._seen[slots] = total

    def _pick(
        self, candidates: Tensor, cutoff: float
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], Tensor]:
        """Picks greedily among rows that are up to date while the best is at least ``cutoff``.

        The next picks are likely among those that are farthest now: distances to them are computed
        together, as one product.

        Returns:
            Which candidates, their gains, and what the candidates' distances become.
        """
        engine = self._engine
        rows = engine.rows.take(candidates).double()
        now = engine.min_sq_dist[candidates].cpu().numpy().copy()
        chosen: list[int] = []
        gains: list[float] = []
        at_once = min(AHEAD[rows.sq_norm.device.type == "cpu"], len(now))
        ahead: dict[int, npt.NDArray[np.float64]] = {}
        # The first of equals: candidates stand in the order of the pool.
        while (gain := now[best := int(now.argmax())]) >= cutoff and gain > 0.0:
            if best not in ahead:
                farthest = np.argpartition(-now, at_once - 1)[:at_once]
                among = np.union1d(farthest, [best])
                sq_dist = pairwise_sq_dist(rows, rows.take(self._on_device(among)))
                ahead = dict(zip(among.tolist(), sq_dist.T.cpu().numpy(), strict=True))
            chosen.append(best)
            gains.append(float(gain))
            np.minimum(now, ahead[best], out=now)
            now[best] = -1.0
        after = torch.from_numpy(now).clamp(min=0.0).to(candidates.device)
        return np.array(chosen, np.int64), np.array(gains), after

    def _block_of(
        self,
        positions: npt.NDArray[np.int64],
        gains: npt.NDArray[np.float64],
        candidates: Tensor | None = None,
        now: Tensor | None = None,
    ) -> Block:
        """Builds a block of picks, and what the candidates' distances become with all of them."""
        pending = {"candidates": self._seen[:0] if candidates is None else candidates}
        pending["now"] = self._engine.min_sq_dist[:0] if now is None else now
        return Block(Picks.of(positions, gains), pending)

    def _commit(self, block: Block, n: int) -> None:
        if not block.pending:  # the tail: duplicates of centers lower nothing
            return
        # Of a block that is not issued as a whole, stale distances are upper bounds still.
        if n == len(block.picks):
            self._engine.assign(block.pending["candidates"], block.pending["now"])
            self._seen[block.pending["candidates"]] += n
        positions = block.picks.positions[:n]
        self._engine.retire(self._on_device(positions))
        self._add_centers(positions)

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior
        self._engine.extend(self._view(embedding).contiguous())
        self._seen = torch.cat([self._seen, self._seen.new_zeros(len(embedding) - first)])

    def _pool_state(self) -> dict[str, Any]:
        return super()._pool_state() | {"seen": self._seen, "block_size": self._block_size}

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        super()._load_pool_state(state)
        self._seen = state["seen"].to(self._seen.device)
        self._block_size = state["block_size"]
