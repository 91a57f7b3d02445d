"""`OwnTurns`: the batches of a pool that fall to one of several processes, which take turns.

Whole batches are dealt out, not rows: the last bits of what a model computes for a row may depend
on the shape of its batch. All processes run the model equally often, as sharded parameters need:
a process without a batch in the last turn runs one again and drops the result.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from lightning_badge.capture.loader_order import reject_shuffling
from lightning_badge.exceptions import CaptureError
from lightning_badge.peers import Peers


class OwnTurns(Iterable[Any]):
    """Iterates over the batches of one process.

    Args:
        loader: Loader of the whole pool, or the first batches of one.
        peers: The processes that share the pool.

    Attributes:
        whole_loader: The loader of the whole pool.
        lengths: Number of samples of each batch that falls to this process.
        n_rows: Number of samples of all batches, of all processes.
        n_expected: The same number, or that of the data set if all batches are to be read.

    Raises:
        CaptureError: A loader whose batches cannot be dealt out.

    Example:
        >>> turns = OwnTurns(DataLoader(range(5), batch_size=2), Peers())
        >>> turns.lengths, len(turns), turns.positions.tolist()
        ([2, 2, 1], 3, [0, 1, 2, 3, 4])
    """

    def __init__(self, loader: Iterable[Any], peers: Peers) -> None:
        # The first batches of a loader name it as their limited_loader.
        limit = getattr(loader, "n_batches", None)
        whole = getattr(loader, "limited_loader", loader)
        self.whole_loader: DataLoader[Any] = dealable(
            whole, f"a pool that {peers.size} processes share needs", "order with devices=1"
        )
        reject_shuffling(whole)
        batches = [len(batch) for batch in self._batch_sampler][:limit]
        starts = np.cumsum([0, *batches])
        own = range(peers.rank, len(batches), peers.size)
        self.lengths = [batches[number] for number in own]
        self._starts = [int(starts[number]) for number in own]
        self.n_rows = int(starts[-1])
        n_dataset = len(self.whole_loader.dataset)
        self.n_expected = self.n_rows if limit is not None else max(n_dataset, self.n_rows)
        n_turns = -(-len(batches) // peers.size)
        again = own[-1] if len(own) else 0
        self._numbers = [*own, *[again] * (n_turns - len(own))]

    def __len__(self) -> int:
        """Returns how often this process runs the model."""
        return len(self._numbers)

    @property
    def positions(self) -> npt.NDArray[np.int64]:
        """Positions of this process's samples in the order of the whole loader, ``[n]``."""
        runs = zip(self._starts, self.lengths, strict=True)
        return np.concatenate([np.arange(0), *(np.arange(at, at + n) for at, n in runs)])

    def __iter__(self) -> Iterator[Any]:
        yield from chosen_batches(self.whole_loader, self._numbers)

    @property
    def _batch_sampler(self) -> Iterable[list[Any]]:
        sampler = self.whole_loader.batch_sampler
        assert sampler is not None  # dealable has checked it
        return sampler


class _Chosen:
    """The batches of a batch sampler with the given numbers, which do not fall."""

    def __init__(self, batches: Iterable[list[Any]], numbers: list[int]) -> None:
        self._batches, self._numbers = batches, numbers

    def __iter__(self) -> Iterator[list[Any]]:
        numbers = iter([*self._numbers, -1])
        wanted = next(numbers)
        for number, batch in enumerate(self._batches):
            while number == wanted:
                yield batch
                wanted = next(numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def chosen_batches(loader: DataLoader[Any], numbers: list[int]) -> DataLoader[Any]:
    """Returns a loader of some batches of a loader, given by numbers ``[t]`` that do not fall."""
    assert loader.batch_sampler is not None  # dealable has checked it
    return DataLoader(
        loader.dataset,
        batch_sampler=_Chosen(loader.batch_sampler, numbers),
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        timeout=loader.timeout,
        worker_init_fn=loader.worker_init_fn,
        multiprocessing_context=loader.multiprocessing_context,
        generator=loader.generator,
        prefetch_factor=loader.prefetch_factor,
    )


def dealable(loader: Any, reason: str, remedy: str) -> Any:
    """Returns the loader, whose batches can be dealt out.

    Args:
        loader: The loader of the whole pool.
        reason: Who needs that, for error messages: a subject and "needs".
        remedy: What else can be done.

    Raises:
        CaptureError: They cannot, or the loader reads a part of the pool.
    """
    is_plain = isinstance(loader, DataLoader) and type(loader).__iter__ is DataLoader.__iter__
    if not is_plain or isinstance(loader.dataset, IterableDataset) or loader.batch_sampler is None:
        streams = isinstance(getattr(loader, "dataset", None), IterableDataset)
        got = f"{type(loader).__name__} over an IterableDataset" if streams else repr(loader)[:80]
        raise CaptureError(
            f"{reason} a torch DataLoader with batches over a map-style data set, so that each "
            f"process can take its own batches; got {got}; {remedy}, or give the pool as such a "
            "loader"
        )
    for sampler in (loader.sampler, getattr(loader.batch_sampler, "sampler", None)):
        if isinstance(sampler, DistributedSampler):
            raise CaptureError(
                "the pool's loader has a DistributedSampler, which repeats samples; expected the "
                "whole pool on each process, which takes its own batches; leave out the sampler"
            )
    return loader
