"""Selectors: the objects that compute an ordering block by block.

A selector has committed and pending state. Committed state follows from the ranks that were issued.
Pending state belongs to a computed block that has not been issued completely. Issuing ranks commits
them. A change of the pool commits the issued ranks of the block and drops the remaining ones.
Committed state is never undone.
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
        gains: Value of the criterion at each rank, ``[k]`` float64; NaN if there is none.
        coverage: Coverage after each rank, ``[k]`` float32; NaN if there is none.
    """

    positions: npt.NDArray[np.int64]
    gains: npt.NDArray[np.float64]
    coverage: npt.NDArray[np.float32]

    @classmethod
    def of(cls, positions: Any, gains: Any, coverage: Any = np.nan) -> Picks:
        """Builds picks; ``gains`` and ``coverage`` are broadcast to ``[k]``."""
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
        """Concatenates picks."""
        columns = zip(*((p.positions, p.gains, p.coverage) for p in parts), strict=True)
        return Picks(*(np.concatenate(column) for column in columns)) if parts else Picks.of([], [])


@dataclass(frozen=True, eq=False)
class Block:
    """A computed block of ranks, with the state to commit once it is issued.

    Attributes:
        picks: The ranks.
        pending: Tensors and plain values by name, for the selector's ``_commit``.
    """

    picks: Picks
    pending: dict[str, Any] = field(default_factory=dict)


class Selector(ABC):
    """Computes an ordering block by block and issues its ranks in parts.

    A block is computed when its first rank is requested. Its size may depend on the pool and the
    seed, but not on how many ranks are requested. So the ordering does not depend on the sizes of
    the parts.

    Args:
        embedding: The pool.

    Attributes:
        members: The only record of which rows remain and which were issued.
    """

    def __init__(self, embedding: GradientEmbedding) -> None:
        self.members = Members(embedding.n_pool, embedding.logit_grad.device)
        self._block: Block | None = None
        self._n_issued = 0  # of the block
        self._covered = -np.inf

    def take(
        self, k: int, coverage: float = np.inf, progress: Callable[[int], None] | None = None
    ) -> Picks:
        """Issues the next ranks.

        Args:
            k: Largest number of ranks.
            coverage: Stop at the first rank that reaches this coverage.
            progress: Called with the number of ranks issued, once per block.

        Returns:
            The next ranks; fewer than ``k`` if no more rows remain or the coverage is reached.
        """
        parts: list[Picks] = []
        while k > 0 and not self._covered >= coverage:
            if self._block is None or self._n_issued == len(self._block.picks):
                self._end_block()
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
        """Adds rows to the pool.

        Args:
            embedding: The whole pool, the new rows at the end.
            posterior: Class probabilities of the whole pool, for selectors that were given them.
        """
        self._end_block()
        self._covered = -np.inf
        first = len(self.members)
        self.members.extend(embedding.n_pool - first)
        self._rows_added(embedding, posterior, first)

    def discard(self, positions: npt.NDArray[np.int64]) -> None:
        """Removes remaining rows from the pool."""
        self._end_block()
        self._covered = -np.inf
        self.members.discard(positions)
        self._rows_discarded(positions)

    def publish(self, positions: npt.NDArray[np.int64]) -> None:
        """Issues remaining rows that were chosen elsewhere."""
        self._end_block()
        self._covered = -np.inf
        self.members.issue(positions)
        self._rows_published(positions)

    def metadata(self) -> dict[str, Any]:
        """Returns what the strategy decided from the data, as plain JSON values."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values from which another process continues identically."""
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
        """Restores a state that `state_dict` returned."""
        self.members.load(state["members"])
        # A copy, so that this selector does not change the caller's state.
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

    def _end_block(self) -> None:
        """Commits the issued ranks of the block and drops the remaining ones."""
        if self._block is not None and self._n_issued:
            self._commit(self._block, self._n_issued)
        self._block, self._n_issued = None, 0

    @abstractmethod
    def _next_block(self) -> Block | None:
        """Returns the ranks after the committed ones, at least one; None if no row remains.

        May reorganize committed state, for example sort rows, but not change its meaning.
        """

    @abstractmethod
    def _commit(self, block: Block, n: int) -> None:
        """Commits the first ``n`` ranks of the block, at least 1; the others are dropped."""

    @abstractmethod
    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        """Updates the selector for a pool whose rows from position ``first`` on are new."""

    @abstractmethod
    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        """Updates the selector for discarded rows, which ``members`` already marks."""

    @abstractmethod
    def _rows_published(self, positions: npt.NDArray[np.int64]) -> None:
        """Updates the selector for rows that were chosen elsewhere, which ``members`` knows."""

    @abstractmethod
    def _pool_state(self) -> dict[str, Any]:
        """Returns committed state other than ``members``, as tensors and plain values."""

    @abstractmethod
    def _load_pool_state(self, state: dict[str, Any]) -> None:
        """Restores what ``_pool_state`` returned."""


class OneShotSelector(Selector):
    """Ranks all remaining rows at once; for strategies without state between ranks.

    A subclass implements ``_rank``. If it stores values for each row, it also overrides
    ``_rows_added``. If it has other state, such as a random generator, it also overrides
    ``_pool_state`` and ``_load_pool_state``.
    """

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        return Block(self._rank(self.members.remaining.nonzero().squeeze(1).cpu().numpy()))

    @abstractmethod
    def _rank(self, remaining: npt.NDArray[np.int64]) -> Picks:
        """Ranks the remaining rows ``[r]``, which are given in pool order."""

    def _commit(self, block: Block, n: int) -> None:
        """Does nothing: only ``members`` depends on the issued ranks."""

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        """Does nothing: there are no values for each row."""

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        """Does nothing: ``_rank`` receives only the remaining rows."""

    def _rows_published(self, positions: npt.NDArray[np.int64]) -> None:
        """Does nothing: only ``members`` depends on the issued ranks."""

    def _pool_state(self) -> dict[str, Any]:
        return {}

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        """Does nothing: there is no state between ranks."""
