"""Selectors: the objects that compute an ordering block by block.

A selector keeps two kinds of state. Committed state follows from the ranks that were issued.
Pending state belongs to a block that was computed and not issued as a whole. Issuing ranks commits
them; a change of the pool commits the issued ranks of the block and drops the others. Nothing is
ever undone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering.members import Members


@dataclass(frozen=True, eq=False)
class Picks:
    """Consecutive ranks.

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


@dataclass(frozen=True, eq=False)
class Block:
    """A computed block: its ranks, and the state that follows once all of them are issued.

    Attributes:
        picks: The ranks.
        pending: Tensors and plain values by name, for the selector that computed the block.
    """

    picks: Picks
    pending: dict[str, Any] = field(default_factory=dict)


class Selector(ABC):
    """Computes an ordering block by block and issues it in parts.

    A block is computed when its first rank is asked for. Its size may depend on the pool and the
    seed, never on how many ranks are asked for: the parts, joined, are then the same whatever
    their sizes.

    Args:
        embedding: The pool.

    Attributes:
        members: Which rows remain; issued rows are marked here, and nowhere else.
    """

    def __init__(self, embedding: GradientEmbedding) -> None:
        self.members = Members(len(embedding), embedding.logit_grad.device)
        self._block: Block | None = None
        self._n_issued = 0  # of the block
        self._covered = -np.inf

    def take(
        self, k: int, coverage: float = np.inf, progress: Callable[[int], None] | None = None
    ) -> Picks:
        """Issues the next ranks.

        Args:
            k: At most so many.
            coverage: And no more than are needed to reach this coverage.
            progress: Called with the number of ranks issued, once per block.

        Returns:
            The ranks asked for, or all that remain; none where the coverage is reached already.
        """
        parts: list[Picks] = []
        while k > 0 and not self._covered >= coverage:
            if self._block is None or self._n_issued == len(self._block.picks):
                self._settle()
                self._block = self._next_block()
                if self._block is None:
                    break
            part = self._block.picks[self._n_issued : self._n_issued + k]
            reached = np.flatnonzero(part.coverage >= coverage)
            if len(reached):
                part = part[: reached[0] + 1]
            self._covered = float(part.coverage[-1])
            self._n_issued += len(part)
            self.members.issue(part.positions)
            k -= len(part)
            parts.append(part)
            if progress is not None:
                progress(len(part))
        return Picks.join(parts)

    def extend(self, embedding: GradientEmbedding, posterior: Tensor | None = None) -> None:
        """Takes over a pool that grew.

        Args:
            embedding: The whole pool, the new rows at the end.
            posterior: Of the whole pool, for selectors that began with one.
        """
        self._settle()
        self._covered = -np.inf
        first = len(self.members)
        self.members.extend(len(embedding) - first)
        self._rows_added(embedding, posterior, first)

    def discard(self, positions: npt.NDArray[np.int64]) -> None:
        """Removes remaining rows from the pool."""
        self._settle()
        self._covered = -np.inf
        self.members.discard(positions)
        self._rows_discarded(positions)

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values from which another process goes on identically."""
        block = None
        if self._block is not None:
            picks = self._block.picks
            columns = (picks.positions, picks.gains, picks.coverage)
            block = {
                "picks": [torch.tensor(column) for column in columns],
                "pending": deepcopy(self._block.pending),
            }
        return {
            "members": self.members.state_dict(),
            "block": block,
            "n_issued_of_block": self._n_issued,
            "covered": self._covered,
            "pool": deepcopy(self._pool_state()),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the selector that ``state`` was taken from stood."""
        self.members.load(state["members"])
        # A copy: what is loaded must not change under whoever keeps the state.
        self._load_pool_state(deepcopy(state["pool"]))
        self._block = None
        if state["block"] is not None:
            picks = Picks(*(column.cpu().numpy().copy() for column in state["block"]["picks"]))
            device = self.members.status.device
            pending = {
                name: value.to(device, copy=True) if isinstance(value, Tensor) else value
                for name, value in state["block"]["pending"].items()
            }
            self._block = Block(picks, pending)
        self._n_issued, self._covered = state["n_issued_of_block"], state["covered"]

    def _settle(self) -> None:
        """Commits the issued ranks of the block and drops what is pending of the others."""
        if self._block is not None and self._n_issued:
            self._commit(self._block, self._n_issued)
        self._block, self._n_issued = None, 0

    @abstractmethod
    def _next_block(self) -> Block | None:
        """Returns the next ranks after those committed, one or more; None where no row remains.

        Committed state may be reorganised here, but not change its meaning.
        """

    @abstractmethod
    def _commit(self, block: Block, n: int) -> None:
        """Commits the first ``n`` ranks of the block, 1 or more; the others are never issued."""

    @abstractmethod
    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        """Takes over a pool whose rows from ``first`` on are new."""

    @abstractmethod
    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        """Takes note of discarded rows; ``members`` has them already."""

    @abstractmethod
    def _pool_state(self) -> dict[str, Any]:
        """Returns committed state other than ``members``, as tensors and plain values."""

    @abstractmethod
    def _load_pool_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``_pool_state`` returned."""


class OneShotSelector(Selector):
    """Ranks all remaining rows at once: for strategies without state between ranks.

    A subclass implements ``_rank``, and the three methods below where it keeps something for each
    row.
    """

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        return Block(self._rank(self.members.remaining.nonzero().squeeze(1).cpu().numpy()))

    @abstractmethod
    def _rank(self, remaining: npt.NDArray[np.int64]) -> Picks:
        """Ranks the rows that remain, ``[r]``, in the order of the pool."""

    def _commit(self, block: Block, n: int) -> None:
        """Nothing but ``members`` depends on the ranks issued."""

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        """Nothing is kept for each row."""

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        """Nothing is kept for each row."""

    def _pool_state(self) -> dict[str, Any]:
        return {}

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        """Nothing is kept between ranks."""
