"""Greedy maximisation of a weighted coverage by similarities, with exact lazy evaluation.

The gain of a candidate ``c`` is the sum over rows ``x`` of ``weight(x)`` times how much the
similarity of ``x`` and ``c`` exceeds that of ``x`` and its most similar center so far. Gains only
fall as centers are added, so a stale gain is an upper bound, and only the candidates with the
largest bounds are evaluated (Minoux 1978). A pick is the row of the largest gain of all, the lowest
position among equal ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_badge.kernels.similarity import TILE, GridRows, similarities

# Candidates that are evaluated together, and the memory of the similarities that are kept.
AT_ONCE = 64
KEPT_BYTES = 1 << 28


@dataclass
class HerdingCounters:
    """The cost of an ordering so far; the benchmark and the tests read it.

    Attributes:
        evaluations: Gains computed after the first pass.
        columns: Candidates whose similarities to all rows were computed for that.
        blocks: Blocks of ranks.
    """

    evaluations: int = 0
    columns: int = 0
    blocks: int = 0


class Picked(NamedTuple):
    """Consecutive picks, and the state after them.

    Attributes:
        positions: ``[m]`` int64.
        gains: ``[m]`` int64, above 0.
        best: Largest similarity of each row to a center, ``[n]`` int32.
        bounds: Upper bounds of the gains of all rows, ``[n]`` int64; -1 for picked rows.
    """

    positions: Tensor
    gains: Tensor
    best: Tensor
    bounds: Tensor


class Herding(ABC):
    """Gains over one pool; keeps similarities that later picks may need.

    Args:
        rows: The pool.
        falloff: See `similarity.falloff_of`.
        weights: Of the rows, ``[n]`` int64, 0 or more.
        counters: Increased by the work done.
    """

    def __init__(
        self, rows: GridRows, falloff: float, weights: Tensor, counters: HerdingCounters
    ) -> None:
        self.rows, self.falloff, self.weights = rows, falloff, weights
        self.counters = counters

    def bounds(self, best: Tensor) -> Tensor:
        """Returns upper bounds ``[n]`` int64 of the gains of all rows.

        Args:
            best: Largest similarity of each row to a center, ``[n]`` int32.
        """
        everything = torch.arange(len(self.rows), device=best.device)
        summands = self.weights.nonzero().squeeze(1)
        all_count = len(summands) == len(everything)
        return self.bounds_of(best, everything, everything if all_count else summands)

    @abstractmethod
    def bounds_of(self, best: Tensor, candidates: Tensor, summands: Tensor) -> Tensor:
        """Returns upper bounds ``[m]`` int64 of what some rows contribute to some gains.

        Args:
            best: As in `bounds`.
            candidates: Positions ``[m]`` of the candidates.
            summands: Positions of the rows that contribute. If this is the same object as
                ``candidates``, each pair is multiplied once.
        """

    @abstractmethod
    def pick(self, best: Tensor, bounds: Tensor, at_most: int) -> Picked:
        """Picks rows greedily, while a gain is above 0.

        Args:
            best: As in `bounds`; not changed.
            bounds: Upper bounds of the gains, ``[n]`` int64, negative for rows that cannot be
                picked; not changed.
            at_most: Largest number of picks.
        """

    @abstractmethod
    def forget(self) -> None:
        """Drops the similarities that were kept, because ``best`` fell or the weights changed."""


class DenseHerding(Herding):
    """Columns of similarities to the rows of positive weight, as tensors, on any device."""

    def __init__(
        self, rows: GridRows, falloff: float, weights: Tensor, counters: HerdingCounters
    ) -> None:
        super().__init__(rows, falloff, weights, counters)
        self.forget()

    @property
    def n_candidates(self) -> int:
        """Number of rows that may be picked."""
        return len(self.weights)

    def forget(self) -> None:
        """See `Herding.forget`."""
        self._summands = self.weights.nonzero().squeeze(1)
        self._room = max(KEPT_BYTES // (4 * max(self._most_summands(), 1)), 2 * AT_ONCE)
        self._kept = self._summands[:0]
        self._slot_of = self._summands.new_full((self.n_candidates,), -1)
        self._columns = self._slot_of.new_empty(0, len(self._summands), dtype=torch.int32)

    def bounds_of(self, best: Tensor, candidates: Tensor, summands: Tensor) -> Tensor:
        """See `Herding.bounds_of`; the bounds are exact."""
        gains = torch.zeros_like(candidates)
        same = candidates is summands
        for start in range(0, len(candidates), TILE):
            part = candidates[start : start + TILE]
            for first in range(start if same else 0, len(summands), TILE):
                other = summands[first : first + TILE]
                found = self._similarities(part, other)
                gains[start : start + TILE] += self._gains(found, best, other)
                if same and first > start:
                    gains[first : first + TILE] += self._gains(found.T, best, part)
        return gains

    def pick(self, best: Tensor, bounds: Tensor, at_most: int) -> Picked:
        """See `Herding.pick`."""
        best, bounds = best.clone(), bounds.clone()
        chosen: list[int] = []
        gains: list[int] = []
        while len(chosen) < at_most:
            pick, gain = self._largest(best, bounds)
            if gain <= 0:
                break
            chosen.append(pick)
            gains.append(gain)
            column = self._columns[self._slot_of[pick]]
            best[self._summands] = torch.maximum(best[self._summands], column)
            bounds[pick] = -1
        return Picked(
            torch.tensor(chosen, dtype=torch.int64, device=best.device),
            torch.tensor(gains, dtype=torch.int64, device=best.device),
            best,
            bounds,
        )

    def _largest(self, best: Tensor, bounds: Tensor) -> tuple[int, int]:
        """Returns the first row of the largest gain, and the gain; lowers ``bounds`` in place."""
        is_exact = torch.zeros_like(bounds, dtype=torch.bool)
        while True:
            largest = int(bounds.amax())
            first = (bounds == largest).nonzero()[0]
            if largest <= 0 or is_exact[first]:
                return int(first), largest
            stale = bounds.where(~is_exact, -1)
            likely = stale.topk(min(AT_ONCE, len(stale))).indices
            candidates = torch.cat([first, likely[(likely != first) & (stale[likely] > 0)]])
            self._keep(candidates, bounds)
            columns = self._columns[self._slot_of[candidates]]
            bounds[candidates] = self._exact_gains(columns, best)
            is_exact[candidates] = True
            self.counters.evaluations += len(candidates)

    def _exact_gains(self, columns: Tensor, best: Tensor) -> Tensor:
        """Returns gains ``[m]`` from similarities ``[m, r]`` to all summands."""
        return self._gains(columns, best, self._summands)

    def _centers(self, candidates: Tensor) -> GridRows:
        """Returns the rows of candidates ``[m]``."""
        return self.rows.take(candidates)

    def _most_summands(self) -> int:
        """Returns the number of summands, which decides how many columns are kept."""
        return len(self._summands)

    def _gains(self, columns: Tensor, best: Tensor, rows: Tensor) -> Tensor:
        """Returns what ``rows`` ``[r]`` contribute to gains, from similarities ``[m, r]``."""
        above = (columns - best[rows]).clamp_(min=0).long()
        return above.mul_(self.weights[rows]).sum(dim=1)

    def _keep(self, candidates: Tensor, bounds: Tensor) -> None:
        """Computes the columns of candidates that are not kept."""
        missing = candidates[self._slot_of[candidates] < 0]
        if not len(missing):
            return
        if len(self._kept) + len(missing) > self._room:
            needed = bounds.clone()
            needed[candidates] = torch.iinfo(torch.int64).max
            best_first = needed[self._kept].argsort(descending=True, stable=True)
            stay = best_first[: max(self._room // 2, len(candidates))]
            self._kept, self._columns = self._kept[stay], self._columns[stay]
        self._kept = torch.cat([self._kept, missing])
        self._columns = torch.cat([self._columns, self._similarities(missing, self._summands)])
        self._slot_of.fill_(-1)
        self._slot_of[self._kept] = torch.arange(len(self._kept), device=self._kept.device)
        self.counters.columns += len(missing)

    def _similarities(self, candidates: Tensor, summands: Tensor) -> Tensor:
        """Returns similarities ``[m, r]`` int32 of candidates and summands."""
        return self._similarities_to(self._centers(candidates), summands)

    def _similarities_to(self, centers: GridRows, summands: Tensor) -> Tensor:
        """Returns similarities ``[m, r]`` int32 of ``m`` rows and summands, computed in tiles."""
        found = summands.new_empty(len(centers), len(summands), dtype=torch.int32)
        for start in range(0, len(summands), TILE):
            part = slice(start, start + TILE)
            rows = self.rows.take(summands[part])
            found[:, part] = similarities(centers, rows, self.falloff)
        return found
