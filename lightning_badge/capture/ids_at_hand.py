"""Sample ids of a pool that can be read without loading its samples."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

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

    They are positions of a ``Subset``, or a column of a data set of torch or Hugging Face, a list,
    or ``Subset`` and ``ConcatDataset`` of these; or the attribute ``sample_ids`` of a data set. A
    column counts only if it begins with the ids of the first batch.

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
    try:
        if sample_id_key is None:
            column = getattr(dataset, "sample_ids", None)
        else:
            column = _column(dataset, sample_id_key)
        if column is None:
            return None
        ids = as_sample_ids(column, unique=False, error=CaptureError)
    except (CaptureError, TypeError, IndexError, KeyError):
        return None
    begins_so = ids[: len(first)].tolist() == first.tolist()
    return ids if begins_so and len(ids) == len(dataset) else None


def _column(dataset: Any, key: EntryKey) -> Sequence[Any] | None:
    """Returns an entry of all items; None if the data set would have to load them."""
    if isinstance(dataset, Subset):
        whole = _column(dataset.dataset, key)
        return None if whole is None else [whole[position] for position in dataset.indices]
    if isinstance(dataset, ConcatDataset):
        parts = [_column(part, key) for part in dataset.datasets]
        found = [part for part in parts if part is not None]
        return list(chain.from_iterable(found)) if len(found) == len(parts) else None
    if isinstance(dataset, TensorDataset):
        return _listed(dataset.tensors[key]) if isinstance(key, int) else None
    if isinstance(dataset, StackDataset):
        parts_by_key: Any = dataset.datasets
        return _listed(parts_by_key[key])
    if isinstance(dataset, list | tuple):
        return [entry_of(item, key) for item in dataset]
    if key in getattr(dataset, "column_names", ()):  # of Hugging Face
        return list(dataset.with_format(None)[key])
    return None


def _listed(part: Any) -> list[Any] | None:
    if isinstance(part, Tensor):
        return part.tolist()
    return list(part) if isinstance(part, list | tuple) else None
