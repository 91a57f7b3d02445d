"""k-center greedy as an ordering: CORESET (Sener & Savarese), arXiv 1708.00489.

Each rank goes to the row that is farthest from the centers so far. Distances only fall as centers
are added, so a stale one is an upper bound: it is enough to bring the largest of them up to date
and to choose among those rows while the best of them beats every stale value outside. The result is
that of the greedy rule over all rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import pick_farthest
from lightning_badge.kernels.torch_blocked import pairwise_sq_dist
from lightning_badge.ordering.base import strategy
from lightning_badge.ordering.min_distance import (
    DistanceWalk,
    FirstCenter,
    View,
    activations,
    to_host,
)
from lightning_badge.ordering.walk import Picks, Walk

SMALLEST_BLOCK = 128
LARGEST_BLOCK, LARGEST_BLOCK_ON_DEVICE = 4096, 2048
# Picks that distances are computed for together, by whether it is the CPU that computes.
AHEAD = {True: 32, False: 512}


@strategy("coreset")
def coreset(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: str,
    labeled: GradientEmbedding | None = None,
    first_center: FirstCenter = "uniform",
) -> Walk:
    """k-center greedy over the penultimate activations, away from the labeled set where given.

    Ties go to the lowest row. Rows that coincide with a center follow in the pool's order.

    Args:
        embedding: The pool.
        seed: Of the first draw.
        backend: Who computes distances.
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


class KCenter(DistanceWalk):
    """The lazy walk of k-center greedy; arguments are those of `DistanceWalk`."""

    def __init__(self, embedding: GradientEmbedding, view: View, **more: Any) -> None:
        super().__init__(embedding, view, **more)
        # Rows that are brought up to date are all far away: bounds rule out none of their pairs.
        self._engine.prune = False
        # How many centers each row of the engine has met.
        self._seen = torch.zeros_like(self._engine.positions)
        self._block_size = SMALLEST_BLOCK
        self._before = self._stale()

    def _next_block(self) -> Picks:
        engine = self._engine
        if not engine.n_left:
            return Picks.of([], [])
        self._before = self._stale()
        if not self._n_centers():
            first, gain = self._first_slot()
            return self._choose(first, gain.cpu().numpy())
        if engine.backend == "triton" and len(picks := self._pick_on_device()):
            return picks
        while True:
            left = engine.left.nonzero().squeeze(1)
            stale = engine.min_sq_dist[left]
            if stale.amax() == 0.0:
                return self._tail(left)
            cutoff = stale.topk(min(self._block_size, len(left))).values[-1]
            # With the ties of the smallest, so that all rows outside are strictly nearer.
            candidates = left[stale >= cutoff]
            self._bring_up_to_date(candidates)
            if cutoff == torch.inf:
                continue
            chosen, gains = self._pick(candidates, float(cutoff))
            self._grow(len(chosen))
            if len(chosen):
                return self._choose(chosen, gains)

    def _grow(self, picked: int) -> None:
        """Lengthens the next block where few of this one's candidates were picked."""
        engine = self._engine
        engine.counters.blocks += 1
        if 4 * picked < self._block_size:
            largest = LARGEST_BLOCK_ON_DEVICE if engine.backend == "triton" else LARGEST_BLOCK
            self._block_size = min(2 * self._block_size, largest)

    def _pick_on_device(self) -> Picks:
        """Picks from the farthest rows and waits once.

        Nothing is picked where rows outside the block may be as far as the farthest inside: copies,
        rows that came late, and the end. Those take the other way.
        """
        engine = self._engine
        b, n_left, n_centers = self._block_size, engine.n_left, self._n_centers()
        b = min(b, n_left)
        stale = engine.min_sq_dist.where(engine.left, -1.0)
        farthest = stale.topk(min(b + 1, len(stale)))
        # In the order of the pool, for ties.
        candidates = farthest.indices[:b].sort().values
        beyond = farthest.values[b:].sum().clamp(min=0.0)
        # Rows equally far behind side by side, to meet the same centers.
        seen, order = self._seen[candidates].sort(stable=True)
        behind = candidates[order]
        now = engine.min_sq_dist[behind]
        engine.update(now, engine.positions[behind], self._centers_from(0), starts=seen)
        engine.min_sq_dist[behind] = now
        now = engine.min_sq_dist[candidates]
        rows = engine.rows.take(engine.positions[candidates])
        picked = pick_farthest(now, beyond, rows)
        assert picked.number is not None
        engine.min_sq_dist[candidates] = now
        self._seen[candidates] = n_centers + picked.number
        slots = candidates[picked.candidates]
        engine.take_out(slots, picked.number)
        positions = engine.positions[slots]
        chosen, gains, number = to_host(positions, picked.gains, picked.number)
        m = int(number[0])
        engine.known_left = n_left - m
        self._centers = torch.cat([self._centers, positions[:m]])
        self._grow(m)
        return Picks.of(chosen[:m], gains[:m])

    def _bring_up_to_date(self, slots: Tensor) -> None:
        """Lets rows meet the centers that they have not met; rows equally far behind together."""
        engine, total = self._engine, self._n_centers()
        behind = total - self._seen[slots]
        doublings = torch.log2(behind.clamp(min=1).double()).long()
        for doubling in torch.unique(doublings[behind > 0]).tolist():
            group = slots[(doublings == doubling) & (behind > 0)]
            first = int(self._seen[group].amin())
            min_sq_dist = engine.min_sq_dist[group]
            engine.update(min_sq_dist, engine.positions[group], self._centers_from(first))
            engine.min_sq_dist[group] = min_sq_dist
        self._seen[slots] = total

    def _pick(self, candidates: Tensor, cutoff: float) -> tuple[Tensor, npt.NDArray[np.float64]]:
        """Picks greedily among rows that are up to date while the best is at least ``cutoff``.

        The next picks are likely among those that are farthest now: distances to them are computed
        together, as one product.
        """
        engine = self._engine
        rows = engine.rows.take(engine.positions[candidates]).double()
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
        engine.min_sq_dist[candidates] = torch.from_numpy(now).clamp(min=0.0).to(candidates.device)
        self._seen[candidates] += len(chosen)
        return candidates[self._on_device(np.array(chosen, np.int64))], np.array(gains)

    def _choose(self, slots: Tensor, gains: npt.NDArray[np.float64]) -> Picks:
        positions = self._engine.positions[slots]
        self._engine.take_out(slots)
        self._centers = torch.cat([self._centers, positions])
        return Picks.of(positions.cpu(), gains)

    def _tail(self, left: Tensor) -> Picks:
        """Returns what coincides with the centers, in the pool's order."""
        positions = self._engine.positions[left].cpu()
        self._engine.take_out(left)
        return Picks.of(positions, 0.0)

    def _stale(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        engine = self._engine
        return (
            engine.min_sq_dist.clone(),
            engine.left.clone(),
            self._seen.clone(),
            self._centers.clone(),
        )

    def _put_back(self, issued: Picks, rest: Picks) -> None:
        # Stale distances are upper bounds still, so the rows need not meet the issued ranks yet.
        del rest
        engine = self._engine
        in_tail = len(self._centers) == len(self._before[3])
        engine.min_sq_dist, engine.left, self._seen, self._centers = self._before
        positions = self._on_device(issued.positions)
        engine.take_out(engine.slots_of(positions))
        if not in_tail:
            self._centers = torch.cat([self._centers, positions])

    def _add_rows(self, embedding: GradientEmbedding) -> None:
        self._engine.add_rows(self._view(embedding))
        self._seen = torch.cat([self._seen, self._seen.new_zeros(len(embedding))])

    def _remove_rows(self, positions: npt.NDArray[np.int64]) -> None:
        self._engine.take_out(self._engine.slots_of(self._on_device(positions)))

    def _pool_state(self) -> dict[str, Any]:
        return {
            "engine": self._engine.state_dict(),
            "before": list(self._before),
            "centers": self._centers,
            "seen": self._seen,
            "block_size": self._block_size,
            "draws": self._draws.bit_generator.state,
        }

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        device = self._centers.device
        self._engine.load_state_dict(state["engine"])
        before = [tensor.to(device) for tensor in state["before"]]
        self._before = (before[0], before[1], before[2], before[3])
        self._centers, self._seen = state["centers"].to(device), state["seen"].to(device)
        self._block_size = state["block_size"]
        self._draws.bit_generator.state = state["draws"]
