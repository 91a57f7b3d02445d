"""Views of a user's data set, and the batches of their items.

A view yields items of the types that the data set yields, so that models need no change.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import BatchSampler, Dataset, IterableDataset, RandomSampler

from lightning_badge.datamodule.placeholder import is_placeholder, no_label
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import SampleId, SampleIds


@runtime_checkable
class MapStyle(Protocol):
    """A data set with a length and items by position: torch's, a list, Hugging Face's."""

    def __len__(self) -> int: ...

    def __getitem__(self, position: int, /) -> Any: ...


def sample_count(data: MapStyle, name: str) -> int:
    """Returns the number of samples of a data set that is map-style."""
    if isinstance(data, IterableDataset | Mapping) or not isinstance(data, MapStyle):
        raise LabelError(
            f"{name}: expected a map-style data set (a length, items by position 0..n-1), got "
            f"{type(data).__name__}"
        )
    if not len(data):
        raise LabelError(f"{name}: expected samples, got an empty {type(data).__name__}")
    return len(data)


def with_target(item: Any, key: int | str, label: Label) -> Any:
    """Returns a data set's item with another target, keeping the item's types.

    Tuples, named tuples, lists and dicts stay what they are, and the label takes the type of the
    target that it replaces, so that given and own targets collate in one batch.

    Raises:
        LabelError: The item has no such entry, or its type cannot hold the label.
    """
    label = _like(target_of(item, key), label)
    if isinstance(item, Mapping):
        changed: Any = copy.copy(item)
        changed[key] = label
        return changed
    entries = list(item)
    entries[cast(int, key)] = label
    if isinstance(item, list):
        return entries
    return type(item)(*entries) if hasattr(item, "_fields") else type(item)(entries)


def target_of(item: Any, key: int | str) -> Any:
    """Returns the target of a data set's item.

    Raises:
        LabelError: An item without that entry.
    """
    if isinstance(item, Mapping):
        if key in item:
            return item[key]
        found = f"a dict with the keys {', '.join(map(repr, item))}"
    elif isinstance(item, tuple | list):
        if isinstance(key, int) and -len(item) <= key < len(item):
            return item[key]
        found = f"a {type(item).__name__} of length {len(item)}"
    else:
        found = f"{type(item).__name__}, not a tuple, list or dict"
    raise LabelError(
        f"target_key={key!r}: the data set yields {found}; name the entry of the target, "
        "a placeholder such as -1 where it is unknown"
    )


def _like(target: Any, label: Label) -> Any:
    """Returns a label in the type, dtype and shape of the target that it replaces."""
    if target is None or type(label) is type(target):
        return label
    try:
        goal = torch.as_tensor(target)
        exact = torch.tensor(label, dtype=torch.float64).reshape(goal.shape)
        value = exact.to(goal)
        if not goal.is_floating_point() and not torch.equal(value.to(exact), exact):
            raise ValueError("a fraction")
    except (TypeError, ValueError, RuntimeError) as error:
        kind = f"{type(target).__name__} {list(getattr(target, 'shape', ()))}".removesuffix(" []")
        raise LabelError(
            f"label {label!r} ({type(label).__name__}) cannot take the place of a target of type "
            f"{kind} such as {target!r}; give labels as the data set encodes them"
        ) from error
    if isinstance(target, torch.Tensor):
        return value
    if isinstance(target, np.ndarray | np.generic):
        return value.numpy().astype(target.dtype)[()]
    return type(target)(value.item())


@dataclass(frozen=True, eq=False)
class DatasetView(Dataset[Any]):
    """Some samples of a data set, with given labels in place of their targets.

    Attributes:
        data: The data set.
        positions: The samples, ``[m]``.
        labels: Given labels, by position.
        target_key: Entry of the target in an item.
        labeled_ids: Ids of the samples, ``[m]``, if a model trains on them: a placeholder in place
            of a target is then an error.
    """

    data: MapStyle
    positions: npt.NDArray[np.int64]
    labels: Mapping[int, Label]
    target_key: int | str
    labeled_ids: SampleIds | None = None

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, row: int) -> Any:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[Any]:
        positions: list[int] = self.positions[rows].tolist()
        fetch = getattr(self.data, "__getitems__", None)  # as torch's own loaders ask
        items = fetch(positions) if fetch else [self.data[position] for position in positions]
        return [
            with_target(item, self.target_key, self.labels[position])
            if position in self.labels
            else self._with_own(row, item)
            for row, position, item in zip(rows, positions, items, strict=True)
        ]

    def _with_own(self, row: int, item: Any) -> Any:
        if self.labeled_ids is not None:
            target = target_of(item, self.target_key)
            if is_placeholder(target):
                raise no_label(self.labeled_ids[[row]].tolist(), self.target_key, target)
        return item


@dataclass(frozen=True, eq=False)
class WithSampleIds(Dataset[Any]):
    """Pairs of a sample id and the item of a view."""

    view: DatasetView
    sample_ids: SampleIds

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, row: int) -> tuple[SampleId, Any]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[tuple[SampleId, Any]]:
        return list(zip(self.sample_ids[rows].tolist(), self.view.__getitems__(rows), strict=True))


@dataclass(frozen=True)
class CollatePoolBatch:
    """Makes a `PoolBatch` of such pairs; a class, because worker processes must unpickle it."""

    collate_fn: Callable[[list[Any]], Any]

    def __call__(self, pairs: list[tuple[SampleId, Any]]) -> PoolBatch:
        """Collates the items, and keeps the ids as they are."""
        sample_ids, items = zip(*pairs, strict=True)
        return PoolBatch(sample_ids, self.collate_fn(list(items)))


class JoinLoneSample(BatchSampler):
    """Joins a last batch of a single sample to the batch before it."""

    def __iter__(self) -> Iterator[list[int]]:
        batches = list(super().__iter__())
        if self._has_lone_sample():
            lone = batches.pop()
            batches[-1] += lone
        yield from batches

    def __len__(self) -> int:
        return super().__len__() - self._has_lone_sample()

    def _has_lone_sample(self) -> bool:
        n = len(cast(RandomSampler, self.sampler))
        return 1 < self.batch_size < n and n % self.batch_size == 1
