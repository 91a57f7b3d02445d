"""A walk down an ordering that is still being made: handed out in parts, open to changes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lightning_badge.embedding import GradientEmbedding


@dataclass(frozen=True, eq=False)
class Picks:
    """Ranks in a row.

    Attributes:
        positions: Rows of the embedding, best first, ``[k]`` int64.
        gains: Criterion at each of them, ``[k]`` float64; NaN for none.
        coverage: Coverage after each of them, ``[k]`` float32; NaN for none.
    """

    positions: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]
    coverage: npt.NDArray[np.float32]

    @classmethod
    def of(cls, positions: Any, gains: Any, coverage: Any = np.nan) -> Picks:
        """Builds picks from whatever broadcasts to ``[k]``."""
        positions = np.asarray(positions, dtype=np.int64)
        return cls(
            positions,
            np.broadcast_to(np.asarray(gains, np.float64), positions.shape),
            np.broadcast_to(np.asarray(coverage, np.float32), positions.shape),
        )

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, part: slice) -> Picks:
        return Picks(self.positions[part], self.gains[part], self.coverage[part])

    @staticmethod
    def join(parts: list[Picks]) -> Picks:
        """Returns picks one after the other."""
        columns = zip(*((p.positions, p.gains, p.coverage) for p in parts), strict=True)
        return Picks(*(np.concatenate(column) for column in columns)) if parts else Picks.of([], [])


class Walk(ABC):
    """Makes an ordering block by block and hands it out in parts.

    Each block is made as soon as its first rank is asked for, and handed out before the next one
    is made. Its size may depend on the pool and the seed, never on how much is asked for: so the
    parts, joined, are the same whatever their sizes. When the pool changes, what was handed out
    stands and the rest of the current block goes back.
    """

    def __init__(self) -> None:
        self._block = Picks.of([], [])
        self._cursor = 0
        self._covered = -np.inf

    def take(self, k: int, coverage: float = np.inf) -> Picks:
        """Hands out the next ranks.

        Args:
            k: At most so many.
            coverage: And no more than it takes to reach this coverage.

        Returns:
            What was asked for, or all that is left; nothing where so much is covered already.
        """
        parts: list[Picks] = []
        while k > 0 and not self._covered >= coverage:
            if self._cursor == len(self._block):
                self._block, self._cursor = self._next_block(), 0
            part = self._block[self._cursor : self._cursor + k]
            reached = np.flatnonzero(part.coverage >= coverage)
            if len(reached):
                part = part[: reached[0] + 1]
            if len(part) == 0:
                break
            self._covered = float(part.coverage[-1])
            self._cursor += len(part)
            k -= len(part)
            parts.append(part)
        return Picks.join(parts)

    def extend(self, embedding: GradientEmbedding) -> None:
        """Appends the rows of ``embedding`` to the pool."""
        self._rewind()
        self._covered = -np.inf
        self._add_rows(embedding)

    def discard(self, positions: npt.NDArray[np.int64]) -> None:
        """Takes rows that were not handed out from the pool."""
        self._rewind()
        self._covered = -np.inf
        self._remove_rows(positions)

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values from which another process goes on identically."""
        block = (self._block.positions, self._block.gains, self._block.coverage)
        return {
            "block": [torch.tensor(column) for column in block],
            "cursor": self._cursor,
            "covered": self._covered,
            "pool": deepcopy(self._pool_state()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the walk that ``state`` was taken from stood."""
        self._block = Picks(*(column.cpu().numpy().copy() for column in state["block"]))
        self._cursor, self._covered = state["cursor"], state["covered"]
        # A copy: what is loaded must not change under whoever keeps the state.
        self._load_pool_state(deepcopy(state["pool"]))

    def _rewind(self) -> None:
        issued, rest = self._block[: self._cursor], self._block[self._cursor :]
        if len(rest):
            self._put_back(issued, rest)
        self._block, self._cursor = Picks.of([], []), 0

    @abstractmethod
    def _pool_state(self) -> dict[str, Any]:
        """Returns what is known of the pool, as tensors and plain values."""

    @abstractmethod
    def _load_pool_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``_pool_state`` returned."""

    @abstractmethod
    def _next_block(self) -> Picks:
        """Returns the next ranks; none once the pool is exhausted."""

    @abstractmethod
    def _put_back(self, issued: Picks, rest: Picks) -> None:
        """Undoes the current block, of which ``issued`` was handed out and ``rest`` was not."""

    @abstractmethod
    def _add_rows(self, embedding: GradientEmbedding) -> None:
        """Appends rows to the pool."""

    @abstractmethod
    def _remove_rows(self, positions: npt.NDArray[np.int64]) -> None:
        """Takes rows from the pool."""
