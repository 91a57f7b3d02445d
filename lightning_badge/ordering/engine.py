"""`MinDistanceEngine`: the distance of every row to its nearest center, kept up to date."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend, Chosen, Factors, Work
from lightning_badge.kernels.factors import row_blocks
from lightning_badge.ordering.members import Members
from lightning_badge.ordering.scatter import Scatter

# Centers per update; bounds the memory of temporaries.
CENTERS = 4096


@dataclass
class Counters:
    """The cost of an ordering so far; the benchmark and the tests read it."""

    pairs: int = 0
    blocks: int = 0
    candidates: int = 0
    accepted: int = 0
    _multiplied: list[int | Tensor] = field(default_factory=list)

    @property
    def multiplied(self) -> int:
        """Number of pairs that were multiplied; reading it syncs with the device."""
        self._multiplied = [sum(map(int, self._multiplied))]
        return int(self._multiplied[0])

    def add(self, work: Work) -> None:
        """Adds the cost of an update."""
        self.pairs += work.pairs
        self._multiplied.append(work.multiplied)


@dataclass(frozen=True, eq=False)
class Candidates:
    """The rows that are farthest from all centers, in pool order.

    Attributes:
        positions: ``[b]`` int64.
        sq_dist: Upper bounds of their squared distances to the nearest center, ``[b]`` float64.
        seen: Number of centers that these account for, ``[b]`` int64.
        rows: Their factors, ``[b]``.
        slots: The slots of those that this process holds, ``[m]`` int64.
        mine: Which of the ``b`` candidates these are, ``[m]`` int64.
    """

    positions: Tensor
    sq_dist: Tensor
    seen: Tensor
    rows: Factors
    slots: Tensor
    mine: Tensor


class MinDistanceEngine:
    """Keeps the squared distance of every remaining row to its nearest committed center.

    The engine keeps a list of row positions; an index into the list is a slot. `compact` sorts the
    list so that the back end can prune groups of adjacent rows. The factors are never copied.

    Args:
        rows: All rows of the pool, ``[n]``, contiguous.
        members: Which rows remain; shared with the selector, which updates it.
        backend: Computes distances.
        prune: Whether to skip pairs that bounds rule out.

    Attributes:
        positions: Positions of the remaining rows, ``[r]`` int64; also of rows issued or discarded
            since the last `compact`.
        min_sq_dist: ``[r]`` float64; ``inf`` before the first center, 0 for issued and discarded
            rows.
        signed: Whether an inner product of two rows' activations may be negative.
        counters: The cost so far.
    """

    def __init__(
        self, rows: Factors, members: Members, backend: Backend, *, prune: bool = True
    ) -> None:
        self.rows, self.members, self.backend, self.prune = rows, members, backend, prune
        self.positions = torch.arange(len(rows), device=rows.sq_norm.device)
        self.min_sq_dist = torch.full_like(rows.sq_norm, torch.inf)
        self.signed = _has_negative(rows)
        self.counters = Counters()
        self._pool_order: Tensor | None = None  # None: the slots are in pool order
        self._arranged: Any = None  # by the back end, for the listed positions
        # The latest masses, and the distances that they belong to.
        self._mass: tuple[Tensor, Any] | None = None

    @property
    def n_pool(self) -> int:
        """Number of rows of the pool."""
        return len(self.rows)

    @property
    def picks_farthest(self) -> bool:
        """Whether `Backend.pick_farthest` can be used."""
        return self.backend.picks_farthest

    def update_signed(self, centers: Factors) -> None:
        """Updates ``signed`` for centers outside the pool, before they are added."""
        self.signed = self.signed or _has_negative(centers)

    def remaining_slots(self) -> Tensor:
        """Returns the slots of the remaining rows, ``[r]`` int64."""
        return self.members.remaining[self.positions].nonzero().squeeze(1)

    def slots_of(self, positions: Tensor) -> Tensor:
        """Returns the slots of the rows at ``positions``, without rows that have no slot."""
        return torch.isin(self.positions, positions).nonzero().squeeze(1)

    def mass(self, min_sq_dist: Tensor | None = None) -> Any:
        """Returns the sampling masses of all slots, a `Mass`, by default of the current distances.

        Args:
            min_sq_dist: Other distances ``[r]`` to use instead.
        """
        mass_of = self.min_sq_dist if min_sq_dist is None else min_sq_dist
        if self._mass is None or self._mass[0] is not mass_of:
            self._mass = mass_of, self._sum(mass_of)
        return self._mass[1]

    def _sum(self, min_sq_dist: Tensor) -> Any:
        """Computes the sampling masses of all slots."""
        return self.backend.mass(min_sq_dist, len(self.rows), self._pool_order)

    def choose(self, uniforms: Tensor) -> Chosen:
        """Draws candidates with probability proportional to the current masses, and accepts some.

        The masses are summed in pool order, so the draws do not depend on the order of the slots.

        Args:
            uniforms: As in `Backend.draw`.
        """
        return self.backend.choose(
            self.mass(),
            uniforms,
            self.min_sq_dist,
            self.rows,
            self.positions,
            signed=self.signed,
        )

    def trials(self, uniforms: Tensor) -> Iterator[Chosen]:
        """Draws candidates as `choose` does, and yields each different one, in pool order.

        Args:
            uniforms: Uniform numbers in [0, 1), ``[b]`` float64.
        """
        drawn, _ = self.mass().draw(uniforms)
        slots = torch.unique(drawn)
        for slot in slots[self.positions[slots].argsort()]:
            yield self._alone(slot[None])

    def at(self, positions: Tensor) -> Chosen:
        """Returns rows that are listed, as centers to be, with their distances as gains.

        Args:
            positions: ``[m]`` int64.
        """
        return self._alone(self._slot_of()[positions])

    def _slot_of(self) -> Tensor:
        """Returns the slot of each of ``rows``, ``[n]`` int64; -1 for those that are not listed."""
        slots = torch.full((len(self.rows),), -1, device=self.positions.device)
        slots[self.positions] = torch.arange(len(self.positions), device=slots.device)
        return slots

    def _alone(self, slots: Tensor) -> Chosen:
        number = torch.tensor(len(slots))
        return Chosen(slots, self.positions[slots], self.min_sq_dist[slots], number)

    def largest_norm(self) -> tuple[Tensor, Tensor]:
        """Returns the position ``[1]`` and squared norm ``[1]`` of the longest remaining row."""
        positions = self.members.remaining.nonzero().squeeze(1)
        sq_norm = self.rows.sq_norm[positions]
        largest = (sq_norm == sq_norm.amax()).nonzero()[0]
        return positions[largest], sq_norm[largest]

    def farthest(self, number: int) -> tuple[float, float]:
        """Returns the largest squared distance of a remaining row, and the ``number``-th largest.

        If fewer rows remain, the smallest one.
        """
        stale = self.min_sq_dist[self.remaining_slots()]
        largest = stale.topk(min(number, len(stale))).values
        return float(largest[0]), float(largest[-1])

    def beyond(self, cutoff: float, seen: Tensor) -> Candidates:
        """Returns the remaining rows at a squared distance of ``cutoff`` or more.

        Args:
            cutoff: Squared distance.
            seen: Number of centers that each slot accounts for, ``[r]`` int64.
        """
        slots = self.remaining_slots()
        slots = slots[self.min_sq_dist[slots] >= cutoff]
        positions = self.positions[slots]
        mine = torch.arange(len(slots), device=slots.device)
        rows = self.rows.take(positions)
        return Candidates(positions, self.min_sq_dist[slots], seen[slots], rows, slots, mine)

    def least(self, sq_dist: Tensor) -> Tensor:
        """Returns the squared distances ``[b]`` to the nearest centers of all processes.

        Args:
            sq_dist: Those to the nearest centers that this process holds.
        """
        return sq_dist

    def own(self, positions: Tensor) -> Tensor:
        """Returns the rows of this process among ``positions`` ``[m]``, as indices of ``rows``."""
        return positions

    def own_share(self, rows: Factors) -> Factors:
        """Returns the part of rows that all processes have for which this process answers."""
        return rows

    def rows_at(self, positions: Tensor) -> Factors:
        """Returns the factors of any rows of the pool, ``[m]``."""
        return self.rows.take(positions)

    def scatter_at(self, positions: Tensor) -> Scatter:
        """Returns the sums over the rows at ``positions`` ``[m]``."""
        return Scatter.of(self.rows.take(positions))

    def scatter_from(self, first: int) -> Scatter:
        """Returns the sums over the rows from position ``first`` on."""
        return Scatter.of(self.rows.take(slice(first, None)))

    def with_centers(self, chosen: Chosen) -> Tensor:
        """Returns ``min_sq_dist`` as it will be with additional centers; changes no state."""
        min_sq_dist, slots, number = self.min_sq_dist, chosen.slots, chosen.number
        for start in range(0, len(slots), CENTERS):
            part = slots[start : start + CENTERS]
            min_sq_dist, work = self.backend.with_centers(
                min_sq_dist,
                self.rows,
                self.positions,
                part,
                signed=self.signed,
                prune=self.prune,
                number=number if len(slots) == len(part) else _of_part(number, start, len(part)),
                arranged=self._arranged,
            )
            self.counters.add(work)
        return min_sq_dist

    def report(self, chosen: Chosen, before: Any, after: Any) -> Tensor:
        """Returns in one tensor what the host has to know of a block; see `Backend.report`."""
        return self.backend.report(chosen, before, after)

    def commit(self, min_sq_dist: Tensor) -> None:
        """Replaces the distances by a result of `with_centers`."""
        self.min_sq_dist = min_sq_dist

    def retire(self, slots: Tensor) -> None:
        """Sets the distances of issued or discarded rows to 0."""
        self.min_sq_dist[slots] = 0.0
        self._mass = None

    def assign(self, slots: Tensor, min_sq_dist: Tensor) -> None:
        """Replaces the distances of some slots by tighter upper bounds ``[m]``."""
        self.min_sq_dist[slots] = min_sq_dist
        self._mass = None

    def bring_up_to_date(
        self, slots: Tensor, centers: Iterable[Factors], starts: Tensor | None = None
    ) -> None:
        """Updates some slots with ``centers``; for ``starts`` see `Backend.update`."""
        min_sq_dist = self.min_sq_dist[slots]
        self.update(min_sq_dist, self.positions[slots], centers, starts=starts)
        self.assign(slots, min_sq_dist)

    def add_centers(self, centers: Iterable[Factors]) -> None:
        """Updates every row with ``centers``."""
        self.update(self.min_sq_dist, self.positions, centers)
        self._mass = None

    def extend(self, rows: Factors, centers: Iterable[Factors] = ()) -> None:
        """Adds rows to the pool.

        Args:
            rows: All rows, the new ones at the end.
            centers: Centers with which the new rows are compared.
        """
        new = torch.arange(len(self.rows), len(rows), device=self.positions.device)
        self.rows = rows
        self.signed = self.signed or _has_negative(
            rows.take(slice(int(len(rows) - len(new)), None))
        )
        min_sq_dist = self.min_sq_dist.new_full((len(new),), torch.inf)
        self.update(min_sq_dist, new, centers)
        self._list(torch.cat([self.positions, new]), torch.cat([self.min_sq_dist, min_sq_dist]))

    def compact(self) -> None:
        """Drops issued and discarded rows, and sorts the rest by `Backend.row_order`."""
        slots = self.remaining_slots()
        slots = slots[self.backend.row_order(self.rows, self.positions[slots])]
        self._list(self.positions[slots], self.min_sq_dist[slots])

    def state_dict(self) -> dict[str, Any]:
        """Returns the state to save; it does not contain the rows."""
        return {
            "positions": self.positions,
            "min_sq_dist": self.min_sq_dist,
            "signed": self.signed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores a state that `state_dict` returned.

        Raises:
            OrderingError: Positions outside the pool, or a different number of distances.
        """
        positions, min_sq_dist = state["positions"], state["min_sq_dist"]
        inside = ((positions >= 0) & (positions < len(self.rows))).all()
        if positions.shape != min_sq_dist.shape or not inside:
            raise OrderingError(
                f"state: expected positions below {len(self.rows)}, each with a distance; got "
                f"{list(positions.shape)} and {list(min_sq_dist.shape)}"
            )
        device = self.positions.device
        self._list(positions.to(device), min_sq_dist.to(device))
        self.signed = state["signed"]

    def update(
        self,
        min_sq_dist: Tensor,
        positions: Tensor,
        centers: Iterable[Factors],
        *,
        starts: Tensor | None = None,
        rows: Factors | None = None,
    ) -> None:
        """Lowers ``min_sq_dist`` ``[r]`` of the rows at ``positions`` ``[r]`` in place.

        For ``starts`` see `Backend.update`; it indexes the concatenated ``centers``. ``rows`` are
        those that ``positions`` index, by default those of the pool.
        """
        before = 0
        for group in centers:
            for start in range(0, len(group), CENTERS):
                part = group.take(slice(start, start + CENTERS))
                work = self.backend.update(
                    min_sq_dist,
                    self.rows if rows is None else rows,
                    positions,
                    part,
                    signed=self.signed,
                    prune=self.prune,
                    starts=None if starts is None else (starts - before).clamp(min=0),
                    arranged=self._arranged if positions is self.positions else None,
                )
                self.counters.add(work)
                before += len(part)

    def _list(self, positions: Tensor, min_sq_dist: Tensor) -> None:
        self.positions, self.min_sq_dist = positions, min_sq_dist
        self._pool_order = positions.argsort()
        self._arranged = self.backend.arrange(self.rows, positions, self._arranged)
        self._mass = None


def _of_part(number: Tensor | None, start: int, size: int) -> Tensor | None:
    """Returns how many of the first ``number`` entries are among the ``size`` from ``start`` on."""
    return None if number is None else (number - start).clamp(0, size)


def _has_negative(rows: Factors) -> bool:
    return any(bool(rows.penultimate[block].amin() < 0) for block in row_blocks(rows.penultimate))
