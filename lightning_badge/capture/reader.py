"""Reads a loader of the pool: whose samples each batch holds, and whether the order means a thing.

Ids come from `PoolBatch`, from a key of dict batches, or are positions in the loader's data set.
"""

from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lightning_badge.exceptions import CaptureError
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import SampleIds, as_sample_ids

_SHUFFLING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)


def pool_size(loader: Iterable[Any]) -> int | None:
    """Returns how many samples the loader's data set holds; None where only reading it tells.

    Example:
        >>> pool_size(DataLoader(range(5), batch_size=2)), pool_size(iter([]))
        (5, None)
    """
    dataset = getattr(loader, "dataset", None)
    if isinstance(dataset, IterableDataset) or not isinstance(dataset, Sized):
        return None
    return len(dataset)


def loader_generators(loader: Iterable[Any]) -> list[torch.Generator]:
    """Returns the random generators that reading the loader may draw from, beside global ones."""
    samplers = (getattr(loader, name, None) for name in ("sampler", "batch_sampler"))
    found = (getattr(owner, "generator", None) for owner in (loader, *samplers))
    return [generator for generator in found if isinstance(generator, torch.Generator)]


def read_pool(
    loader: Iterable[Any], sample_id_key: str | None = None
) -> Iterator[tuple[SampleIds | None, Any]]:
    """Yields the ids and the batch of each batch that the loader gives.

    A data set whose first item differs between two reads draws a warning, and so does a sampler
    of the user's own where ids are positions.

    Args:
        loader: A ``DataLoader`` as a rule, or any iterable of batches.
        sample_id_key: Key of dict batches under which the ids stand.

    Yields:
        Ids ``[b]``, None where they are the positions that come next; and the batch itself,
        without the wrapping of `PoolBatch`.

    Raises:
        CaptureError: The loader shuffles, or a batch does not have ``sample_id_key``.

    Example:
        >>> [batch.tolist() for _, batch in read_pool(DataLoader(range(5), batch_size=3))]
        [[0, 1, 2], [3, 4]]
    """
    _reject_shuffling(loader)
    _warn_if_random(loader)
    for number, loaded in enumerate(loader):
        ids, batch = _split(loaded, sample_id_key)
        if ids is None and number == 0:
            _warn_if_own_sampler(loader)
        yield ids, batch


def _split(loaded: Any, sample_id_key: str | None) -> tuple[SampleIds | None, Any]:
    if isinstance(loaded, PoolBatch):
        return as_sample_ids(loaded.sample_ids, unique=False, error=CaptureError), loaded.batch
    if sample_id_key is None:
        return None, loaded
    if not isinstance(loaded, Mapping) or sample_id_key not in loaded:
        is_dict = isinstance(loaded, Mapping)
        found = f"keys {', '.join(map(repr, loaded))}" if is_dict else type(loaded).__name__
        raise CaptureError(
            f"sample_id_key={sample_id_key!r}: expected dict batches with this key, got {found}"
        )
    return as_sample_ids(loaded[sample_id_key], unique=False, error=CaptureError), loaded


def _reject_shuffling(loader: Iterable[Any]) -> None:
    for sampler in _samplers(loader):
        if isinstance(sampler, _SHUFFLING) or getattr(sampler, "shuffle", False) is True:
            raise CaptureError(
                f"the pool's loader shuffles ({type(sampler).__name__}); expected the same order "
                "at every read; pass shuffle=False"
            )


def walks_in_order(loader: Iterable[Any]) -> bool:
    """Whether the loader certainly reads its data set from the first position to the last.

    Example:
        >>> walks_in_order(DataLoader(range(5))), walks_in_order(DataLoader(range(5), shuffle=True))
        (True, False)
    """
    return isinstance(loader, DataLoader) and not _own_samplers(loader)


def _own_samplers(loader: Iterable[Any]) -> list[Any]:
    in_order = (SequentialSampler, BatchSampler)
    return [sampler for sampler in _samplers(loader) if type(sampler) not in in_order]


def _warn_if_own_sampler(loader: Iterable[Any]) -> None:
    if own := _own_samplers(loader):
        warn(
            f"sample ids are positions in the order of the pool's loader, and "
            f"{type(own[0]).__name__} may not walk the data set in order; give ids with "
            "sample_id_key=... or PoolBatch, or leave out the sampler",
            stacklevel=3,
        )


def _samplers(loader: Iterable[Any]) -> list[Any]:
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return []
    batches = loader.batch_sampler
    found = (loader.sampler, batches, getattr(batches, "sampler", None))
    return [sampler for sampler in found if sampler is not None]


def _warn_if_random(loader: Iterable[Any]) -> None:
    dataset: Any = getattr(loader, "dataset", None)
    if not pool_size(loader) or not hasattr(dataset, "__getitem__"):
        return
    try:
        differs = _differ(dataset[0], dataset[0])
    except (LookupError, TypeError):
        return  # a data set with keys of its own, which its sampler knows
    if differs:
        warn(
            "the pool's first item differs between two reads (random augmentation?); such an "
            "ordering means nothing; give the pool a data set without augmentation",
            stacklevel=3,
        )


def _differ(one: Any, other: Any) -> bool:
    """Whether two values certainly differ; values that cannot be compared do not."""
    if isinstance(one, Mapping):
        return one.keys() != other.keys() or any(_differ(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        pairs = zip(one, other, strict=False)
        return len(one) != len(other) or any(_differ(*pair) for pair in pairs)
    try:
        if isinstance(one, Tensor):
            return not torch.equal(one.nan_to_num(), other.nan_to_num())
        if isinstance(one, np.ndarray):
            return not np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
        # Of objects that compare by identity, two reads of the same item give different ones.
        by_identity = type(one).__eq__ is object.__eq__  # type: ignore[comparison-overlap]
        is_nan = one != one
        return not by_identity and not is_nan and bool(one != other)
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
