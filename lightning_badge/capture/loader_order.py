"""Checks that a loader of the pool returns the same samples in the same order at every read.

Loaders that wrap a ``DataLoader``, such as Fabric's, have its attributes and are checked like one.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any
from warnings import warn

from torch.utils.data import (
    BatchSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

from lightning_badge.capture.differences import differ
from lightning_badge.exceptions import CaptureError

_SHUFFLING = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
# attributes in which streams keep their source
_SOURCES = (
    *("_ex_iterable", "ex_iterable", "ex_iterables", "dataset", "datasets"),
    *("datapipe", "source_datapipe", "source", "pipeline"),
)
_GIVE_IDS = "give ids with sample_id_key=... or PoolBatch"


def reads_in_order(loader: Iterable[Any]) -> bool:
    """Whether the loader certainly reads a map-style data set from the first position to the last.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> reads_in_order(DataLoader(range(5))), reads_in_order(DataLoader(range(5), shuffle=True))
        (True, False)
    """
    samplers = _samplers(loader)
    return bool(samplers) and not _own_samplers(samplers)


def reject_shuffling(loader: Iterable[Any]) -> None:
    """Raises a CaptureError if the loader of a map-style data set shuffles."""
    for sampler in _samplers(loader):
        if isinstance(sampler, _SHUFFLING) or getattr(sampler, "shuffle", False) is True:
            raise CaptureError(
                f"the pool's loader shuffles ({type(sampler).__name__}); expected the same order "
                "at every read; pass shuffle=False"
            )


def reject_uncertain_positions(loader: Iterable[Any]) -> None:
    """Checks, before a pass, a loader whose batches contain no ids.

    Raises:
        CaptureError: Several processes read an iterable data set, or it shuffles, so that the order
            of arrival does not identify its samples.
    """
    if own := _own_samplers(_samplers(loader)):
        warn(
            f"sample ids are positions in the order of the pool's loader, and "
            f"{type(own[0]).__name__} may read the data set in another order; {_GIVE_IDS}, or "
            "leave out the sampler",
            stacklevel=4,
        )
    dataset = getattr(loader, "dataset", None)
    if not isinstance(dataset, IterableDataset):
        return
    if workers := getattr(loader, "num_workers", 0):
        raise CaptureError(
            f"the pool is an iterable data set that {workers} worker processes read, so the order "
            f"in which samples arrive does not tell which samples they are; {_GIVE_IDS}, or read "
            "the pool with num_workers=0"
        )
    if shuffling := _shuffling_stream(dataset):
        raise CaptureError(
            f"the pool is an iterable data set that shuffles ({shuffling}), so the order in which "
            f"samples arrive does not tell which samples they are; {_GIVE_IDS}, or do not shuffle "
            "the pool"
        )


def reject_other_order(loader: Iterable[Any]) -> None:
    """Reads the first batch of a stream without ids twice and compares.

    A pass checks after its last batch, because an earlier check would consume batches of a stream
    that can be read only once.

    Raises:
        CaptureError: The two reads differ.
    """
    if isinstance(loader, Sequence) or _is_map_style(getattr(loader, "limited_loader", loader)):
        return
    one, other = (list(islice(loader, 1)) for _ in range(2))
    if one and other and differ(one, other):
        raise CaptureError(
            "the pool's first batch differs between two reads (a shuffle or random augmentation?), "
            f"so the order in which samples arrive does not tell which samples they are; "
            f"{_GIVE_IDS}, or read the pool in one order without augmentation"
        )


def _is_map_style(loader: Iterable[Any]) -> bool:
    dataset = getattr(loader, "dataset", None)
    return dataset is not None and not isinstance(dataset, IterableDataset)


def _samplers(loader: Iterable[Any]) -> list[Any]:
    """Returns the samplers of a loader; none for an iterable data set."""
    if not _is_map_style(loader):
        return []
    batches = getattr(loader, "batch_sampler", None)
    found = (getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None))
    return [sampler for sampler in found if sampler is not None]


def _own_samplers(samplers: Iterable[Any]) -> list[Any]:
    in_order = (SequentialSampler, BatchSampler)
    return [sampler for sampler in samplers if type(sampler) not in in_order]


def _shuffling_stream(dataset: Any) -> str | None:
    """Returns the name of the part of a stream that shuffles; None if none is found."""
    seen: set[int] = set()
    parts = [dataset]
    while parts:
        part = parts.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if _shuffles(part):
            return type(part).__name__
        attributes = getattr(part, "__dict__", {})
        for source in (attributes[name] for name in _SOURCES if name in attributes):
            parts += source if isinstance(source, list | tuple) else [source]
    return None


def _shuffles(part: Any) -> bool:
    attributes = getattr(part, "__dict__", {})
    if attributes.get("_enabled") is False:  # torch's shuffler under DataLoader(shuffle=False)
        return False
    if "_ex_iterable" in attributes and part.epoch and part.num_shards > 1:
        return True  # Hugging Face's streams shuffle their shards in every epoch but the first
    return "shuffle" in type(part).__name__.lower() or attributes.get("shuffle") is True
