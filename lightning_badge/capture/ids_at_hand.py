"""Sample ids of a pool that can be read without loading its samples."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import ConcatDataset, StackDataset, Subset, TensorDataset

from lightning_badge.capture.entries import EntryKey, entry_of
from lightning_badge.capture.loader_order import reads_in_order
from lightning_badge.capture.positions import positions_of_loader
from lightning_badge.exceptions import CaptureError
from lightning_badge.sample_ids import SampleIds, as_sample_ids, name_ids, repeated_ids


def reject_repeated_ids(
    loader: Iterable[Any], first: SampleIds | None, sample_id_key: EntryKey | None
) -> None:
    """Raises before training if samples of the pool have the same id, as far as that can be seen.

    A pass over the whole pool finds what cannot be seen here, such as ids that only the items of
    a data set of one's own hold.

    Args:
        loader: Loader of the pool.
        first: Ids of its first batch; None if they are positions.
        sample_id_key: As in `entry_of`.

    Raises:
        CaptureError: An id came more than once.
    """
    ids = ids_at_hand(loader, first, sample_id_key)
    if ids is not None and (repeated := repeated_ids(ids)):
        source = "positions" if first is None else "PoolBatch"
        source = source if sample_id_key is None else f"sample_id_key={sample_id_key!r}"
        raise CaptureError(
            f"sample ids ({source}): expected distinct ids, but {name_ids(repeated)} came more "
            "than once in the pool; leave out what is there twice, or give ids that differ"
        )


def ids_at_hand(
    loader: Iterable[Any], first: SampleIds | None, sample_id_key: EntryKey | None
) -> SampleIds | None:
    """Returns the ids of the whole pool; None if samples had to be loaded for them.

    They are positions of a ``Subset``; a column of a list or of a data set of torch or Hugging
    Face; or an attribute of any other data set that lists texts. A column counts only if it begins
    with the ids of the first batch.

    Args:
        loader: As in `reject_repeated_ids`.
        first: As in `reject_repeated_ids`.
        sample_id_key: As in `entry_of`.

    Example:
        >>> import torch
        >>> from torch.utils.data import DataLoader
        >>> data = TensorDataset(torch.zeros(4, 2), torch.tensor([7, 3, 7, 1]))
        >>> ids_at_hand(DataLoader(data, batch_size=2), as_sample_ids([7, 3]), 1).tolist()
        [7, 3, 7, 1]
    """
    if not reads_in_order(loader):
        return None
    if first is None:
        return positions_of_loader(loader).ids
    dataset: Any = getattr(loader, "dataset", None)
    for column in _columns(dataset, sample_id_key):
        try:
            ids = as_sample_ids(column, unique=False, error=CaptureError)
        except CaptureError:
            continue
        if len(ids) == len(dataset) and ids[: len(first)].tolist() == first.tolist():
            return ids
    return None


def _columns(dataset: Any, key: EntryKey | None) -> list[Sequence[Any]]:
    """Returns what may be the ids of all items; nothing if the items had to be loaded."""
    if isinstance(dataset, Subset):
        return [[whole[at] for at in dataset.indices] for whole in _columns(dataset.dataset, key)]
    if isinstance(dataset, ConcatDataset):
        of_parts = [_columns(part, key) for part in dataset.datasets]
        return [list(chain.from_iterable(columns)) for columns in zip(*of_parts, strict=False)]
    column = None if key is None else _column(dataset, key)
    if column is not None:
        return [column]
    try:
        n, attributes = len(dataset), vars(dataset).values()
    except TypeError:
        return []
    # Numbers of another meaning, such as labels, could begin as the ids do.
    return [it for it in attributes if _is_listed(it) and len(it) == n and isinstance(it[0], str)]


def _column(dataset: Any, key: EntryKey) -> Sequence[Any] | None:
    """Returns an entry of all items of a data set of a known kind."""
    try:
        if isinstance(dataset, TensorDataset):
            return _listed(dataset.tensors[key])  # type: ignore[index]
        if isinstance(dataset, StackDataset):
            return _listed(dataset.datasets[key])  # type: ignore[index]
        if isinstance(dataset, list | tuple):
            return [entry_of(item, key) for item in dataset]
    except (CaptureError, TypeError, IndexError, KeyError):
        return None
    if key in getattr(dataset, "column_names", ()):  # of Hugging Face
        return list(dataset.with_format(None)[key])
    return None


def _is_listed(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and len(value) > 0


def _listed(part: Any) -> list[Any] | None:
    if isinstance(part, Tensor):
        return part.tolist()
    return list(part) if isinstance(part, list | tuple) else None
