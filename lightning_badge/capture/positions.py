"""The meaning of positions as sample ids, for loaders whose batches contain no ids."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch.utils.data import IterableDataset, Subset

from lightning_badge.sample_ids import SampleIds


class Positions(NamedTuple):
    """Sample ids of a pool whose batches contain none.

    Attributes:
        ids: ``[n]``, in the loader's order; None for ``0..n-1``.
        meaning: A text that says what the ids are, for the metadata of an ordering.
    """

    ids: SampleIds | None
    meaning: str


def positions_of_loader(loader: Iterable[Any]) -> Positions:
    """Returns the ids of a loader's samples and their meaning.

    For a ``Subset``, as ``random_split`` makes it, ids are positions in the data set that it was
    taken from: its ``indices``, composed if one ``Subset`` was taken from another. An iterable that
    yields the first batches of a loader names that loader as its ``limited_loader``, one that
    yields the batches of one process as its ``whole_loader``.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> inner = Subset(range(100), [10, 20, 30])
        >>> positions_of_loader(DataLoader(Subset(inner, [2, 0]))).ids.tolist()
        [30, 10]
    """
    loader = getattr(loader, "whole_loader", getattr(loader, "limited_loader", loader))
    dataset = getattr(loader, "dataset", None)
    if dataset is None or isinstance(dataset, IterableDataset):
        return Positions(None, "positions in the order in which samples arrive")
    if isinstance(dataset, Subset):
        whole, ids = _composed(dataset)
        if ids is not None:
            name = type(whole).__name__
            meaning = f"positions in the {name} of which the pool is a Subset (Subset.indices)"
            return Positions(ids, meaning)
    return Positions(None, f"positions in the pool's {type(dataset).__name__}")


def _composed(subset: Subset[Any]) -> tuple[Any, npt.NDArray[np.int64] | None]:
    """Returns the innermost data set and the position of each item in it; None if unknown."""
    inner: Any = subset.dataset
    try:
        positions = np.asarray(subset.indices)
        if not np.issubdtype(positions.dtype, np.integer) or positions.ndim != 1:
            return inner, None  # keys that are not positions
        n = len(inner)
        positions = np.where(positions < 0, positions + n, positions).astype(np.int64)
        if not isinstance(inner, Subset):
            return inner, positions
        whole, outer = _composed(inner)
        return whole, None if outer is None else outer[positions]
    except (TypeError, IndexError):
        return inner, None
