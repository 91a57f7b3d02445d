"""`ShardedEngine`: a `MinDistanceEngine` over a pool that several processes hold together.

Each process keeps the distances of its own rows. A block costs one exchange of the largest mass,
one sum of the masses of all runs, and one exchange of the candidates' factors; then every process
accepts the same candidates and updates its own rows. All results are the same on all processes,
except those that are said to be of this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from lightning_badge.kernels import Backend, Chosen, Factors
from lightning_badge.kernels.mass import integer_weights, unit_of
from lightning_badge.ordering.engine import Candidates, MinDistanceEngine
from lightning_badge.ordering.members import Members
from lightning_badge.ordering.scatter import Scatter
from lightning_badge.shard import Shard


@dataclass(frozen=True, eq=False)
class ShardedMass:
    """The masses of a pool, of which this process holds some.

    Attributes:
        cumulative: Sums of the weights of this process's slots in pool order, ``[r]`` int64.
        bounds: Where in that order its runs start, and the end, ``[t + 1]`` int64.
        sums: Sum of the weights of each run of the pool, ``[s]`` int64.
        unit: As in `Mass`.
        largest: As in `Mass`, of the whole pool.
    """

    cumulative: Tensor
    bounds: Tensor
    sums: Tensor
    unit: Tensor
    largest: Tensor

    @cached_property
    def ends(self) -> Tensor:
        """Sums of the weights up to the end of each run, ``[s]`` int64."""
        return self.sums.cumsum(0)

    @cached_property
    def value(self) -> Tensor:
        """The total mass as float64 ``[]``; infinite if a mass is infinite."""
        return (self.ends[-1] * self.unit).where(self.largest < torch.inf, torch.inf)

    def before(self, own_runs: Tensor) -> Tensor:
        """Returns the sums of this process's weights before some of its runs, ``[m]`` int64."""
        padded = torch.cat([self.cumulative.new_zeros(1), self.cumulative])
        return padded[self.bounds[own_runs]]


class ShardedEngine(MinDistanceEngine):
    """The engine of one of several processes; for the arguments see `MinDistanceEngine`.

    Positions in arguments and results are those of the whole pool. The attribute ``positions``
    holds indices of this process's ``rows``. In ``Chosen.slots``, rows of other processes are -1.

    Args:
        rows: The rows of this process.
        members: Which rows of the whole pool remain.
        backend: Computes distances.
        shard: Which part of the pool ``rows`` are.
        prune: As in `MinDistanceEngine`.
    """

    def __init__(
        self,
        rows: Factors,
        members: Members,
        backend: Backend,
        shard: Shard,
        *,
        prune: bool = True,
    ) -> None:
        super().__init__(rows, members, backend, prune=prune)
        self.peers, self.layout = shard.peers, shard.to(rows.sq_norm.device).layout
        self.signed = self.peers.any(self.signed)

    @property
    def n_pool(self) -> int:
        """See `MinDistanceEngine.n_pool`."""
        return len(self.layout)

    @property
    def picks_farthest(self) -> bool:
        """See `MinDistanceEngine.picks_farthest`: only one process can."""
        return False

    def remaining_slots(self) -> Tensor:
        """See `MinDistanceEngine.remaining_slots`: of this process."""
        return self.members.remaining[self._in_pool(self.positions)].nonzero().squeeze(1)

    def slots_of(self, positions: Tensor) -> Tensor:
        """See `MinDistanceEngine.slots_of`: of this process."""
        return super().slots_of(self.own(positions))

    def own(self, positions: Tensor) -> Tensor:
        """See `MinDistanceEngine.own`."""
        return self.layout.held(positions)

    def own_share(self, rows: Factors) -> Factors:
        """See `MinDistanceEngine.own_share`."""
        return rows.take(slice(self.peers.rank, None, self.peers.size))

    def compact(self) -> None:
        """See `MinDistanceEngine.compact`; the sums of all runs stay as they are."""
        known, min_sq_dist = self._mass, self.min_sq_dist
        super().compact()
        if known is not None and known[0] is min_sq_dist:
            mass: Any = known[1]
            cumulative, bounds = self._cumulate(self.min_sq_dist, mass.unit)
            self._mass = self.min_sq_dist, replace(mass, cumulative=cumulative, bounds=bounds)

    def _sum(self, min_sq_dist: Tensor) -> ShardedMass:
        """Computes the masses of the whole pool: the same integers as on one process."""
        largest = self.peers.max(torch.cat([min_sq_dist, min_sq_dist.new_zeros(1)]).amax())
        unit = unit_of(largest, self.n_pool)
        cumulative, bounds = self._cumulate(min_sq_dist, unit)
        sums = torch.zeros_like(self.layout.owners)
        sums[self.layout.own] = torch.cat([cumulative.new_zeros(1), cumulative])[bounds].diff()
        return ShardedMass(cumulative, bounds, self.peers.sum(sums), unit, largest)

    def _cumulate(self, mass: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Returns cumulative weights in pool order, and where the runs of this process start."""
        positions = self.positions
        if self._pool_order is not None:
            mass, positions = mass[self._pool_order], positions[self._pool_order]
        bounds = torch.searchsorted(positions, self.layout.own_starts)
        return integer_weights(mass, unit).cumsum_(0), bounds

    def choose(self, uniforms: Tensor) -> Chosen:
        """See `MinDistanceEngine.choose`."""
        drawn, limits = self._draw(uniforms[0], uniforms[1])
        rows = _rows_of(drawn)
        everyone = torch.arange(len(drawn.slots), device=drawn.slots.device)
        found = self.backend.accept(drawn.gains, limits, rows, everyone, signed=self.signed)
        which = found.candidates
        return Chosen(
            drawn.slots[which], drawn.positions[which], found.gains, found.number, rows.take(which)
        )

    def trials(self, uniforms: Tensor) -> Iterator[Chosen]:
        """See `MinDistanceEngine.trials`."""
        drawn, _ = self._draw(uniforms, uniforms)
        for position in torch.unique(drawn.positions):
            which = (drawn.positions == position).nonzero()[0]
            yield Chosen(
                drawn.slots[which],
                drawn.positions[which],
                drawn.gains[which],
                torch.tensor(1),
                _rows_of(drawn).take(which),
            )

    def at(self, positions: Tensor) -> Chosen:
        """See `MinDistanceEngine.at`."""
        rows = self.layout.rows(positions)
        mine = (rows >= 0).nonzero().squeeze(1)
        chosen, _ = self._exchange(len(positions), mine, self._slot_of()[rows[mine]])
        return chosen

    def largest_norm(self) -> tuple[Tensor, Tensor]:
        """See `MinDistanceEngine.largest_norm`."""
        rows = self.positions[self.remaining_slots()]
        sq_norm = self.rows.sq_norm[rows]
        largest = self.peers.max(torch.cat([sq_norm, sq_norm.new_full((1,), -1.0)]).amax()[None])
        longest = self._in_pool(rows[sq_norm == largest])
        first = torch.cat([longest, longest.new_full((1,), self.n_pool)]).amin()[None]
        return self.peers.min(first), largest

    def farthest(self, number: int) -> tuple[float, float]:
        """See `MinDistanceEngine.farthest`."""
        stale = self.min_sq_dist[self.remaining_slots()]
        found = stale.new_zeros(self.peers.size, number)
        largest = stale.topk(min(number, len(stale))).values
        found[self.peers.rank] = -1.0  # below every squared distance
        found[self.peers.rank, : len(largest)] = largest
        whole = self.peers.sum(found).flatten()
        best = whole.topk(min(number, self.members.n_remaining)).values
        return float(best[0]), float(best[-1])

    def beyond(self, cutoff: float, seen: Tensor) -> Candidates:
        """See `MinDistanceEngine.beyond`."""
        slots = self.remaining_slots()
        slots = slots[self.min_sq_dist[slots] >= cutoff]
        counts = torch.zeros(self.peers.size, dtype=torch.int64, device=slots.device)
        counts[self.peers.rank] = len(slots)
        counts = self.peers.sum(counts)
        first = counts[: self.peers.rank].sum()
        mine = first + torch.arange(len(slots), device=slots.device)
        chosen, (all_seen,) = self._exchange(int(counts.sum()), mine, slots, seen[slots])
        order = chosen.positions.argsort()
        held = chosen.slots[order]
        mine = (held >= 0).nonzero().squeeze(1)
        return Candidates(
            chosen.positions[order],
            chosen.gains[order],
            all_seen[order],
            _rows_of(chosen).take(order),
            held[mine],
            mine,
        )

    def least(self, sq_dist: Tensor) -> Tensor:
        """See `MinDistanceEngine.least`."""
        return self.peers.min(sq_dist)

    def rows_at(self, positions: Tensor) -> Factors:
        """See `MinDistanceEngine.rows_at`."""
        shard = Shard(self.peers, self.layout)
        return Factors(*shard.rows_at(positions, self.rows.tensors))

    def scatter_at(self, positions: Tensor) -> Scatter:
        """See `MinDistanceEngine.scatter_at`."""
        return Scatter.of(self.rows.take(self.own(positions))).over(self.peers)

    def scatter_from(self, first: int) -> Scatter:
        """See `MinDistanceEngine.scatter_from`."""
        n_own = int(self.layout.after(first).own_starts[-1])
        return Scatter.of(self.rows.take(slice(len(self.rows) - n_own, None))).over(self.peers)

    def with_centers(self, chosen: Chosen) -> Tensor:
        """See `MinDistanceEngine.with_centers`: of this process's slots."""
        m = int(chosen.number)
        slots = chosen.slots[:m]
        min_sq_dist = self.min_sq_dist.clone()
        min_sq_dist[slots[slots >= 0]] = 0.0
        self.update(min_sq_dist, self.positions, [_rows_of(chosen).take(slice(m))])
        return min_sq_dist

    def report(self, chosen: Chosen, before: Any, after: Any) -> Tensor:
        """See `MinDistanceEngine.report`."""
        return Backend.report(self.backend, chosen, before, after)

    def extend_shard(self, rows: Factors, shard: Shard, centers: Iterable[Factors] = ()) -> None:
        """Adds rows to the pool.

        Args:
            rows: All rows of this process, the new ones at the end.
            shard: The whole pool, the new rows at the end.
            centers: As in `MinDistanceEngine.extend`.
        """
        self.layout = shard.to(rows.sq_norm.device).layout
        self.extend(rows, centers)
        self.signed = self.peers.any(self.signed)

    def _in_pool(self, rows: Tensor) -> Tensor:
        """Returns the positions of this process's ``rows`` ``[m]`` in the whole pool."""
        return self.layout.positions(rows)

    def _draw(self, uniforms: Tensor, for_limits: Tensor) -> tuple[Chosen, Tensor]:
        """Draws candidates; returns them with their distances as gains, and their limits."""
        mass = self.mass()
        total = mass.ends[-1]
        targets = torch.minimum((uniforms * total).long(), total - 1)
        run = torch.searchsorted(mass.ends, targets, right=True).clamp(max=len(mass.ends) - 1)
        # Without any mass nobody has a candidate: the result is meaningless, as on one process.
        is_mine = (self.layout.owners[run] == self.layout.rank) & (total > 0)
        mine = is_mine.nonzero().squeeze(1)
        run = run[mine]
        within = targets[mine] - (mass.ends[run] - mass.sums[run])
        wanted = within + mass.before(torch.searchsorted(self.layout.own, run))
        place = torch.searchsorted(mass.cumulative, wanted, right=True)
        before = torch.cat([mass.cumulative.new_zeros(1), mass.cumulative])[place]
        weights = (mass.cumulative[place] - before) * mass.unit
        slots = place if self._pool_order is None else self._pool_order[place]
        drawn, (weight,) = self._exchange(len(targets), mine, slots, weights)
        return drawn, for_limits * weight

    def _exchange(
        self, n: int, mine: Tensor, slots: Tensor, *more: Tensor
    ) -> tuple[Chosen, tuple[Tensor, ...]]:
        """Puts together ``n`` rows, of which this process gives those in its ``slots`` ``[m]``.

        Args:
            n: Number of rows.
            mine: Which of them this process gives, ``[m]`` int64.
            slots: Their slots.
            more: Further columns ``[m]`` to put together.
        """
        rows = self.positions[slots]
        columns = (self._in_pool(rows), self.min_sq_dist[slots], *self.rows.take(rows).tensors)
        position, sq_dist, *rest = self.peers.collect(n, mine, (*columns, *more))
        everywhere = slots.new_full((n,), -1)
        everywhere[mine] = slots
        number = torch.tensor(n)
        return Chosen(everywhere, position, sq_dist, number, Factors(*rest[:4])), tuple(rest[4:])


def _rows_of(chosen: Chosen) -> Factors:
    assert chosen.rows is not None  # this engine always gives them
    return chosen.rows


def engine_over(
    rows: Factors, members: Members, backend: Backend, shard: Shard | None, *, prune: bool = True
) -> MinDistanceEngine:
    """Returns the engine for a pool that is held by one process, or by several."""
    if shard is None:
        return MinDistanceEngine(rows, members, backend, prune=prune)
    return ShardedEngine(rows, members, backend, shard, prune=prune)


def extend_engine(
    engine: MinDistanceEngine, rows: Factors, shard: Shard | None, centers: Iterable[Factors] = ()
) -> None:
    """Adds rows to the pool of an engine; see `MinDistanceEngine.extend`."""
    if isinstance(engine, ShardedEngine) and shard is not None:
        engine.extend_shard(rows, shard, centers)
    else:
        engine.extend(rows, centers)
