"""`GridPool`: the rows on the grid of a whole pool, which one process or several hold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_badge.kernels.herding import DenseHerding, HerdingCounters
from lightning_badge.kernels.similarity import TILE, GridRows, sq_distances
from lightning_badge.shard import Shard


@dataclass(frozen=True, eq=False)
class GridPool:
    """Rows of this process, and access to those of the others.

    Attributes:
        rows: The rows of this process, ``[n]``.
        shard: Which part of the pool they are; None: the whole pool.
    """

    rows: GridRows
    shard: Shard | None

    def __len__(self) -> int:
        """Returns the number of rows of the whole pool."""
        return len(self.rows) if self.shard is None else len(self.shard)

    def at(self, positions: Tensor) -> GridRows:
        """Returns the rows at positions ``[m]`` of the whole pool."""
        if self.shard is None:
            return self.rows.take(positions)
        return GridRows(*self.shard.rows_at(positions, (self.rows.coordinates, self.rows.sq_norm)))

    def own(self, positions: Tensor) -> Tensor:
        """Returns the rows of this process among positions ``[m]``, as indices of ``rows``."""
        if self.shard is None:
            return positions
        return self.shard.layout.held(positions)

    def concatenate(self, new: GridRows, shard: Shard | None) -> GridPool:
        """Appends rows of this process.

        Args:
            new: The rows.
            shard: Which part of the pool all rows of this process are then.
        """
        return GridPool(self.rows.concatenate(new), shard)

    def nearest(self, centers: GridRows, k: int) -> tuple[Tensor, Tensor]:
        """Returns what is nearest to each of ``m`` centers in the whole pool.

        Returns:
            The ``k``-th smallest squared distance, and the smallest one above 0 (infinite without
            one), ``[m]`` each.
        """
        sq_distance = sq_distances(centers, self.rows)
        far = sq_distance.new_full((len(centers), 1), torch.inf)
        distinct = torch.cat([sq_distance.where(sq_distance > 0, torch.inf), far], dim=1).amin(1)
        near = sq_distance.topk(min(k, len(self.rows)), largest=False).values
        if self.shard is not None:
            peers = self.shard.peers
            found = near.new_zeros(peers.size, len(centers), k)
            found[peers.rank] = torch.inf
            found[peers.rank, :, : near.shape[1]] = near
            everywhere = peers.sum(found).permute(1, 0, 2).flatten(1)
            near, distinct = everywhere.topk(k, largest=False).values, peers.min(distinct)
        return near[:, -1], distinct


def largest_of(values: Tensor, shard: Shard | None) -> float:
    """Returns the largest of some values of 0 or more, on all processes; 0 without any."""
    largest = torch.cat([values.double(), values.new_zeros(1, dtype=torch.float64)]).amax()
    return float(largest if shard is None else shard.peers.max(largest))


class ShardedHerding(DenseHerding):
    """Herding over a pool that several processes hold: each adds up what its own rows contribute.

    Candidates are positions of the whole pool, summands are rows of this process. Gains are sums of
    integers, so they do not depend on which process holds which row.

    Args:
        pool: The pool.
        falloff: As in `Herding`.
        weights: Of this process's rows, ``[n]`` int64.
        counters: As in `Herding`; counts columns over this process's rows.
    """

    def __init__(
        self, pool: GridPool, falloff: float, weights: Tensor, counters: HerdingCounters
    ) -> None:
        assert pool.shard is not None
        self._pool, self._peers = pool, pool.shard.peers
        super().__init__(pool.rows, falloff, weights, counters)

    @property
    def n_candidates(self) -> int:
        """See `DenseHerding.n_candidates`."""
        return len(self._pool)

    def bounds(self, best: Tensor) -> Tensor:
        """See `Herding.bounds`."""
        everything = torch.arange(len(self._pool), device=best.device)
        return self.bounds_of(best, everything, self.weights.nonzero().squeeze(1))

    def bounds_of(self, best: Tensor, candidates: Tensor, summands: Tensor) -> Tensor:
        """See `Herding.bounds_of`."""
        gains = torch.zeros_like(candidates)
        for start in range(0, len(candidates), TILE):
            centers = self._pool.at(candidates[start : start + TILE])
            for first in range(0, len(summands), TILE):
                part = summands[first : first + TILE]
                found = self._similarities_to(centers, part)
                gains[start : start + TILE] += self._gains(found, best, part)
        return self._peers.sum(gains)

    def _exact_gains(self, columns: Tensor, best: Tensor) -> Tensor:
        return self._peers.sum(super()._exact_gains(columns, best))

    def _centers(self, candidates: Tensor) -> GridRows:
        return self._pool.at(candidates)

    def _most_summands(self) -> int:
        return int(self._peers.max(torch.tensor(len(self._summands))))
