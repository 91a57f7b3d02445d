"""`Shard`: which rows of a pool this process holds, and with which processes it shares the pool.

A position is a row of the whole pool. A process holds runs of consecutive positions, such as the
batches that its turn fell on, and keeps their rows in the order of positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import torch
from torch import Tensor

from lightning_badge.peers import Peers
from lightning_badge.sample_ids import SampleIds


@dataclass(frozen=True, eq=False)
class Layout:
    """Which process holds which runs of positions.

    Attributes:
        starts: First position of each run, and the end of the last, ``[s + 1]`` int64.
        owners: Rank of the process that holds each run, ``[s]`` int64.
        rank: Rank of this process.

    Example:
        >>> layout = Layout.of(torch.tensor([2, 3, 1]), torch.tensor([0, 1, 0]), rank=0)
        >>> layout.positions(torch.tensor([0, 1, 2])).tolist()
        [0, 1, 5]
        >>> layout.rows(torch.tensor([5, 3])).tolist()
        [2, -1]
    """

    starts: Tensor
    owners: Tensor
    rank: int

    @classmethod
    def of(cls, lengths: Tensor, owners: Tensor, rank: int) -> Layout:
        """Lays out runs of ``lengths`` ``[s]`` one after the other."""
        return cls(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]), owners, rank)

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def own(self) -> Tensor:
        """The runs that this process holds, ``[t]`` int64."""
        return (self.owners == self.rank).nonzero().squeeze(1)

    @cached_property
    def own_starts(self) -> Tensor:
        """The first of its rows in each run of this process, and the end, ``[t + 1]`` int64."""
        lengths = self.starts.diff()[self.own]
        return torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])

    def concatenate(self, other: Layout) -> Layout:
        """Appends the runs of ``other``."""
        lengths = torch.cat([self.starts.diff(), other.starts.diff()])
        return Layout.of(lengths, torch.cat([self.owners, other.owners]), self.rank)

    def after(self, first: int) -> Layout:
        """Returns the layout of the positions from ``first`` on, which is the start of a run."""
        run = int(torch.searchsorted(self.starts, first))
        return Layout.of(self.starts.diff()[run:], self.owners[run:], self.rank)

    def to(self, device: torch.device) -> Layout:
        """Returns the layout with its tensors on ``device``."""
        return Layout(self.starts.to(device), self.owners.to(device), self.rank)

    def rows(self, positions: Tensor) -> Tensor:
        """Returns this process's rows at positions ``[m]``; -1 where another process holds them."""
        run = torch.searchsorted(self.starts[1:], positions, right=True)
        before = torch.full_like(self.owners, -1)
        before[self.own] = self.own_starts[:-1]
        rows = before[run] + positions - self.starts[run]
        return rows.where(self.owners[run] == self.rank, -1)

    def held(self, positions: Tensor) -> Tensor:
        """Returns this process's rows among positions ``[m]``, without those of others."""
        rows = self.rows(positions)
        return rows[rows >= 0]

    def positions(self, rows: Tensor) -> Tensor:
        """Returns the positions of ``rows`` ``[m]`` of this process."""
        if not len(rows):
            return rows
        run = torch.searchsorted(self.own_starts[1:], rows, right=True)
        return self.starts[self.own[run]] + rows - self.own_starts[run]


@dataclass(frozen=True, eq=False)
class Shard:
    """That rows are one process's part of a pool.

    Attributes:
        peers: The processes that share the pool.
        layout: Which of them holds what.
    """

    peers: Peers
    layout: Layout

    @classmethod
    def in_turns(cls, lengths: Sequence[int], peers: Peers) -> Shard:
        """Builds the shard of a pool whose batches the processes took in turns.

        Args:
            lengths: Rows of each batch of this process, in order.
            peers: The processes; the first batch of the pool is that of rank zero.
        """
        of_all = peers.gather(list(lengths))
        turns = max(map(len, of_all))
        table = torch.zeros(turns, peers.size, dtype=torch.int64)
        for rank, of_rank in enumerate(of_all):
            table[: len(of_rank), rank] = torch.tensor(of_rank, dtype=torch.int64)
        owners = torch.arange(peers.size).repeat(turns)
        filled = table.flatten() > 0
        return cls(peers, Layout.of(table.flatten()[filled], owners[filled], peers.rank))

    def __len__(self) -> int:
        """Returns the number of rows of the whole pool."""
        return len(self.layout)

    def concatenate(self, other: Shard) -> Shard:
        """Appends rows that arrived later, of the same processes."""
        return Shard(self.peers, self.layout.concatenate(other.layout))

    def after(self, first: int) -> Shard:
        """Returns the shard of the positions from ``first`` on, which is the start of a run."""
        return Shard(self.peers, self.layout.after(first))

    def to(self, device: torch.device) -> Shard:
        """Returns the shard with its layout on ``device``."""
        return Shard(self.peers, self.layout.to(device))

    def whole(self, column: Tensor) -> Tensor:
        """Returns a narrow column of the whole pool, from the values of this process's rows."""
        mine = self.layout.positions(torch.arange(len(column), device=column.device))
        return self.peers.collect(len(self), mine, (column,))[0]

    def whole_ids(self, ids: SampleIds) -> SampleIds:
        """Returns the sample ids of the whole pool, from those of this process's rows."""
        parts = self.peers.gather(ids)
        filled = next((part for part in parts if len(part)), ids)
        whole = np.empty(len(self), dtype=filled.dtype)
        starts, owners = self.layout.starts.tolist(), self.layout.owners.tolist()
        read = [0] * self.peers.size
        for start, stop, owner in zip(starts, starts[1:], owners, strict=False):
            first = read[owner]
            whole[start:stop] = parts[owner][first : first + stop - start]
            read[owner] += stop - start
        return cast(SampleIds, whole)

    def rows_at(self, positions: Tensor, columns: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Returns columns at positions ``[m]``, from the columns of this process's rows."""
        rows = self.layout.rows(positions)
        mine = (rows >= 0).nonzero().squeeze(1)
        held = tuple(column[rows[mine]] for column in columns)
        return self.peers.collect(len(positions), mine, held)
