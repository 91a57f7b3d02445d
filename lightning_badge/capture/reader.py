"""Reads a loader of the pool: ids of each batch, and checks of the order.

Ids come from `PoolBatch`, from an entry of each batch, or are positions in the loader's data set.
"""

from collections.abc import Iterable, Iterator, Sized
from typing import Any

import torch
from torch.utils.data import IterableDataset

from lightning_badge.capture.differences import warn_if_random
from lightning_badge.capture.entries import EntryKey, entry_of
from lightning_badge.capture.loader_order import (
    reject_other_order,
    reject_shuffling,
    reject_uncertain_positions,
)
from lightning_badge.exceptions import CaptureError
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import SampleIds, as_sample_ids


def pool_size(loader: Iterable[Any]) -> int | None:
    """Returns the number of samples of the loader's data set; None if it is unknown.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> pool_size(DataLoader(range(5), batch_size=2)), pool_size(iter([]))
        (5, None)
    """
    dataset = getattr(loader, "dataset", None)
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        return None
    return len(dataset)


def loader_generators(loader: Iterable[Any]) -> list[torch.Generator]:
    """Returns the generators, besides global ones, that reading the loader may draw from."""
    samplers = (getattr(loader, name, None) for name in ("sampler", "batch_sampler"))
    found = (getattr(owner, "generator", None) for owner in (loader, *samplers))
    return [generator for generator in found if isinstance(generator, torch.Generator)]


def read_pool(
    loader: Iterable[Any], sample_id_key: EntryKey | None = None
) -> Iterator[tuple[SampleIds | None, Any]]:
    """Yields the ids and the content of each batch of the loader.

    Warns if one of a dozen items differs between two reads, and if ids are positions and the
    sampler is the user's own.

    Args:
        loader: A ``DataLoader`` or any iterable of batches.
        sample_id_key: Entry of each batch that holds the ids, as in `entry_of`.

    Yields:
        Ids ``[b]``, or None if they are the next positions; and the batch, taken out of its
        `PoolBatch`.

    Raises:
        CaptureError: The loader shuffles, a batch does not have ``sample_id_key``, or there are no
            ids and the order of arrival does not identify the samples.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> [batch.tolist() for _, batch in read_pool(DataLoader(range(5), batch_size=3))]
        [[0, 1, 2], [3, 4]]
    """
    # A part of a loader names the loader of the whole pool.
    whole = getattr(loader, "whole_loader", loader)
    reject_shuffling(whole)
    warn_if_random(getattr(whole, "dataset", None), pool_size(whole) or 0)
    are_positions = False
    for number, loaded in enumerate(loader):
        ids, batch = _split(loaded, sample_id_key)
        if ids is None and number == 0:
            are_positions = True
            reject_uncertain_positions(whole)
        yield ids, batch
    if are_positions:
        reject_other_order(whole)


def _split(loaded: Any, sample_id_key: EntryKey | None) -> tuple[SampleIds | None, Any]:
    if isinstance(loaded, PoolBatch):
        ids: Any = loaded.sample_ids
        batch = loaded.batch
    elif sample_id_key is None:
        return None, loaded
    else:
        ids, batch = entry_of(loaded, sample_id_key), loaded
    return as_sample_ids(ids, unique=False, error=CaptureError), batch
