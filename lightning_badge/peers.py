"""`Peers`: the processes that hold a pool together, over ``torch.distributed``.

All processes call the same methods in the same order. What decides an ordering travels as integers,
as bytes, or as a largest or smallest value, so no result depends on which process holds which row.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from lightning_badge.exceptions import PeerError

T = TypeVar("T")
WORD = 8  # bytes of the integers that rows are sent as


@dataclass
class Traffic:
    """What this process gave to collectives so far; the tests compare the cost model with it.

    Attributes:
        collectives: Number of reductions.
        payload: Bytes of their tensors.
    """

    collectives: int = 0
    payload: int = 0


@dataclass(frozen=True, eq=False)
class Peers:
    """Processes that hold a pool together.

    Args:
        group: Their process group; None: this process alone, which needs no group.
        device: Where the group's back end needs tensors: the CPU for gloo, a GPU for NCCL.

    Attributes:
        rank: The number of this process, from 0.
        size: The number of processes.
        traffic: What was sent so far.

    Example:
        >>> alone = Peers()
        >>> alone.rank, alone.size, alone.sum(torch.tensor([3])).tolist()
        (0, 1, [3])
    """

    group: Any = None
    device: torch.device | str = "cpu"
    traffic: Traffic = field(default_factory=Traffic)

    @property
    def rank(self) -> int:
        """The number of this process."""
        return 0 if self.group is None else int(dist.get_rank(self.group))

    @property
    def size(self) -> int:
        """The number of processes."""
        return 1 if self.group is None else int(dist.get_world_size(self.group))

    def sum(self, values: Tensor) -> Tensor:
        """Returns the sum over the processes."""
        return self._reduce(values, "SUM")

    def max(self, values: Tensor) -> Tensor:
        """Returns the largest over the processes, entry by entry."""
        return self._reduce(values, "MAX")

    def min(self, values: Tensor) -> Tensor:
        """Returns the smallest over the processes, entry by entry."""
        return self._reduce(values, "MIN")

    def any(self, here: bool) -> bool:
        """Returns whether it is so on any process."""
        return here if self.size == 1 else bool(self.max(torch.tensor([int(here)])))

    def collect(self, n: int, mine: Tensor, columns: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Puts together columns of ``n`` rows, of which each process gives those that it has.

        Bytes are added to zeros, which is exact in every dtype.

        Args:
            n: Number of rows.
            mine: Which of them this process gives, ``[m]`` int64; no two processes give the same.
            columns: Their values, ``[m, ...]`` each, of the same dtypes and widths everywhere.

        Returns:
            The columns ``[n, ...]``, the same on all processes; 0 where no process gave a row.
        """
        if self.size == 1 and n == len(mine):
            order = torch.argsort(mine)
            return tuple(column[order] for column in columns)
        widths = [column.element_size() * math.prod(column.shape[1:]) for column in columns]
        padded = -(-sum(widths) // WORD) * WORD
        packed = columns[0].new_zeros(n, padded, dtype=torch.uint8)
        if len(mine):
            given = [column.contiguous().reshape(len(mine), -1) for column in columns]
            as_bytes = torch.cat([column.view(torch.uint8) for column in given], dim=1)
            packed[mine.to(packed.device), : sum(widths)] = as_bytes
        whole = self.sum(packed.view(torch.int64)).view(torch.uint8)
        parts = torch.split(whole[:, : sum(widths)], widths, dim=1)
        return tuple(
            # A copy of its own: a view may begin where the wider dtype must not.
            part.clone(memory_format=torch.contiguous_format)
            .view(column.dtype)
            .reshape(n, *column.shape[1:])
            for part, column in zip(parts, columns, strict=True)
        )

    def gather(self, value: T) -> list[T]:
        """Returns the plain values of all processes, by rank."""
        if self.group is None:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def share(self, value: T) -> T:
        """Returns the plain value of rank zero."""
        if self.group is None:
            return value
        values: list[Any] = [value]
        dist.broadcast_object_list(values, src=0, group=self.group)
        shared: T = values[0]
        return shared

    def agree(self, work: Callable[[], T]) -> T:
        """Does this process's own work; if it fails anywhere, it fails everywhere.

        Args:
            work: Must not wait for other processes.

        Raises:
            PeerError: The work of another process failed. The process whose work failed raises its
                own error.
        """
        if self.group is None:
            return work()
        error: BaseException | None = None
        try:
            result = work()
        except Exception as raised:
            error = raised
        told = None if error is None else f"{type(error).__name__}: {error}"
        problems = self.gather(told)
        if error is not None:
            raise error
        for rank, problem in enumerate(problems):
            if problem is not None:
                raise PeerError(f"process {rank} of {self.size} failed: {problem}")
        return result

    def _reduce(self, values: Tensor, operation: str) -> Tensor:
        if self.group is None:
            return values
        self.traffic.collectives += 1
        self.traffic.payload += values.nbytes
        shared = values.to(self.device, copy=True).contiguous()
        dist.all_reduce(shared, op=getattr(dist.ReduceOp, operation), group=self.group)
        return shared.to(values.device)
