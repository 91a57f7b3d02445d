"""The engine under every strategy that measures distances to the centers chosen so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend, Factors, Work
from lightning_badge.kernels.factors import ROW_BLOCK
from lightning_badge.ordering.mass import Mass
from lightning_badge.ordering.members import Members

# Centers that one update takes, to bound its temporaries.
CENTERS = 4096


@dataclass
class Counters:
    """What an ordering has cost so far; the benchmark and the tests read it."""

    pairs: int = 0
    blocks: int = 0
    candidates: int = 0
    accepted: int = 0
    _multiplied: int | Tensor = 0

    @property
    def multiplied(self) -> int:
        """Pairs that were multiplied out; a GPU is asked for it here and nowhere else."""
        return int(self._multiplied)

    def add(self, work: Work) -> None:
        """Adds the cost of an update."""
        self.pairs += work.pairs
        self._multiplied = self._multiplied + work.multiplied


class MinDistanceEngine:
    """Keeps for every remaining row its squared distance to the nearest committed center.

    The factors are never copied. The engine lists positions of rows, sorted by norm, so that
    neighbours in the list have the same centers within reach; a place in that list is a slot.

    Args:
        rows: All rows of the pool, ``[n]``, contiguous.
        members: Which of them remain; shared with the selector, who marks them.
        backend: Computes distances.
        prune: Whether to look for pairs that cannot matter.

    Attributes:
        positions: Rows that remain, and some that were issued or discarded lately, ``[r]`` int64.
        min_sq_dist: ``[r]`` float64; ``inf`` before the first center, 0 where issued or discarded.
        signed: Whether some product of activations may be negative.
        counters: What it has cost.
    """

    def __init__(
        self, rows: Factors, members: Members, backend: Backend, *, prune: bool = True
    ) -> None:
        self.rows, self.members, self.backend, self.prune = rows, members, backend, prune
        self.positions = torch.arange(len(rows), device=rows.sq_norm.device)
        self.min_sq_dist = torch.full_like(rows.sq_norm, torch.inf)
        self.signed = _has_negative(rows)
        self.counters = Counters()
        self._pool_order: Tensor | None = None  # None: slots stand in the order of the pool

    def expect(self, centers: Factors) -> None:
        """Takes note of centers that are no rows of the pool, before any of them is added."""
        self.signed = self.signed or _has_negative(centers)

    def remaining_slots(self) -> Tensor:
        """Returns the slots of the rows that remain, ``[r]`` int64."""
        return self.members.remaining[self.positions].nonzero().squeeze(1)

    def slots_of(self, positions: Tensor) -> Tensor:
        """Returns the slots of rows; rows that have none are left out."""
        return torch.isin(self.positions, positions).nonzero().squeeze(1)

    def mass(self, min_sq_dist: Tensor | None = None) -> Mass:
        """Returns the masses of all rows, or those that ``min_sq_dist`` ``[r]`` would give."""
        return Mass.of(self.min_sq_dist if min_sq_dist is None else min_sq_dist, len(self.rows))

    def draw(self, uniforms: Tensor, mass: Mass) -> tuple[Tensor, Tensor]:
        """Draws slots ``[b]`` by their masses, cumulated in the order of the pool.

        Returns:
            The slots, and the weights that they were drawn by, both ``[b]``.
        """
        return mass.draw(uniforms, self._pool_order)

    def with_centers(self, slots: Tensor, number: Tensor | None = None) -> Tensor:
        """Returns what ``min_sq_dist`` becomes once rows are centers; changes nothing.

        Chosen rows are taken out first: a center's distance to itself need not be computed.

        Args:
            slots: Rows that become centers, ``[m]`` int64.
            number: How many of them are meant, as in `Accepted`; None: all.
        """
        min_sq_dist = self.min_sq_dist.clone()
        none = torch.zeros_like(slots[:1], dtype=torch.bool) if number is None else number == 0
        min_sq_dist[slots] = min_sq_dist[slots].where(none.to(slots.device), 0.0)
        centers = self.rows.take(self.positions[slots])
        self.update(min_sq_dist, self.positions, [centers], number=number)
        return min_sq_dist

    def commit(self, min_sq_dist: Tensor) -> None:
        """Takes over what `with_centers` returned."""
        self.min_sq_dist = min_sq_dist

    def retire(self, slots: Tensor) -> None:
        """Sets the distances of rows that were issued or discarded to 0."""
        self.min_sq_dist[slots] = 0.0

    def assign(self, slots: Tensor, min_sq_dist: Tensor) -> None:
        """Takes over better upper bounds ``[m]`` of the distances of rows."""
        self.min_sq_dist[slots] = min_sq_dist

    def bring_up_to_date(
        self, slots: Tensor, centers: Iterable[Factors], starts: Tensor | None = None
    ) -> None:
        """Updates rows with ``centers``; ``starts`` is that of `Backend.update`."""
        min_sq_dist = self.min_sq_dist[slots]
        self.update(min_sq_dist, self.positions[slots], centers, starts=starts)
        self.min_sq_dist[slots] = min_sq_dist

    def add_centers(self, centers: Iterable[Factors]) -> None:
        """Updates every row with ``centers``."""
        self.update(self.min_sq_dist, self.positions, centers)

    def extend(self, rows: Factors, centers: Iterable[Factors] = ()) -> None:
        """Takes over a pool that grew.

        Args:
            rows: All rows, the new ones at the end.
            centers: Those that the new rows have to be compared with.
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
        """Drops rows that do not remain, and sorts the others so that neighbours prune alike."""
        slots = self.remaining_slots()
        slots = slots[self.backend.row_order(self.rows, self.positions[slots])]
        self._list(self.positions[slots], self.min_sq_dist[slots])

    def state_dict(self) -> dict[str, Any]:
        """Returns what is to be saved beside the rows themselves."""
        return {
            "positions": self.positions,
            "min_sq_dist": self.min_sq_dist,
            "signed": self.signed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the engine that ``state`` was taken from stood.

        Raises:
            OrderingError: Positions that are not rows, or another number of distances.
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
        number: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> None:
        """Lowers ``min_sq_dist`` ``[r]`` of the rows at ``positions`` ``[r]`` in place.

        ``number`` and ``starts`` are those of `Backend.update`; they count over all ``centers``.
        """
        before = 0
        for group in centers:
            for start in range(0, len(group), CENTERS):
                part = group.take(slice(start, start + CENTERS))
                work = self.backend.update(
                    min_sq_dist,
                    self.rows,
                    positions,
                    part,
                    signed=self.signed,
                    prune=self.prune,
                    number=None if number is None else (number - before).clamp(0, len(part)),
                    starts=None if starts is None else (starts - before).clamp(min=0),
                )
                self.counters.add(work)
                before += len(part)

    def _list(self, positions: Tensor, min_sq_dist: Tensor) -> None:
        self.positions, self.min_sq_dist = positions, min_sq_dist
        self._pool_order = positions.argsort()


def _has_negative(rows: Factors) -> bool:
    return any(
        bool(len(block) and block.amin() < 0) for block in torch.split(rows.penultimate, ROW_BLOCK)
    )
