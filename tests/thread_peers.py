"""Peers that are threads of one process: the same calls as `Peers`, without process groups."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.peers import Peers, Traffic
from lightning_badge.shard import Shard


class Meeting:
    """Where ``size`` threads exchange values."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.barrier = threading.Barrier(size, timeout=60)
        self.values: list[Any] = [None] * size

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.values[rank] = value
        self.barrier.wait()
        values = list(self.values)
        self.barrier.wait()
        return values


class ThreadPeers(Peers):
    def __init__(self, meeting: Meeting, rank: int) -> None:
        object.__setattr__(self, "group", meeting)
        object.__setattr__(self, "device", "cpu")
        object.__setattr__(self, "traffic", Traffic())
        object.__setattr__(self, "number", rank)

    @property
    def rank(self) -> int:
        return self.number

    @property
    def size(self) -> int:
        return self.group.size

    def gather(self, value: Any) -> list[Any]:
        return self.group.exchange(self.rank, value)

    def share(self, value: Any) -> Any:
        return self.gather(value)[0]

    def _reduce(self, values: Tensor, operation: str) -> Tensor:
        self.traffic.collectives += 1
        self.traffic.payload += values.nbytes
        every = self.group.exchange(self.rank, values.clone())
        assert len({(value.shape, value.dtype) for value in every}) == 1, "out of step"
        stacked = torch.stack(every)
        if operation == "SUM":
            return stacked.sum(dim=0, dtype=values.dtype)
        return stacked.amax(dim=0) if operation == "MAX" else stacked.amin(dim=0)


def on_threads(size: int, work: Callable[[Peers], Any]) -> list[Any]:
    """Runs ``work`` on ``size`` threads and returns the results by rank."""
    meeting = Meeting(size)
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        torch.set_num_threads(1)
        try:
            results[rank] = work(ThreadPeers(meeting, rank))
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    n_torch_threads = torch.get_num_threads()
    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    torch.set_num_threads(n_torch_threads)
    if errors:
        raise next(
            (e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0]
        )
    return results


def part_of(pool: GradientEmbedding, batches: list[int], peers: Peers) -> GradientEmbedding:
    """Returns this process's shard of a pool whose batches are dealt out in turns."""
    starts = np.cumsum([0, *batches])
    own = range(peers.rank, len(batches), peers.size)
    rows = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in own] or [np.arange(0)])
    shard = Shard.in_turns([batches[b] for b in own], peers)
    at = torch.from_numpy(rows.astype(np.int64))
    tensors = {name: value[at] for name, value in pool._tensors().items()}
    return replace(pool, sample_ids=pool.sample_ids[rows.astype(np.int64)], shard=shard, **tensors)


def rows_of(tensor: Tensor, batches: list[int], peers: Peers) -> Tensor:
    """Returns the rows of a tensor that `part_of` gives this process."""
    parts = torch.split(tensor, batches)[peers.rank :: peers.size]
    return torch.cat([tensor[:0], *parts])
