"""The batches of a pool: their sizes, and a digest that tells the pool from another one."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.utils.data import DataLoader

from lightning_badge.capture.positions import positions_of_loader
from lightning_badge.sample_ids import SampleIds, fingerprint

# As many items as are compared to find random augmentation.
_ITEMS = 12


@dataclass(frozen=True, eq=False)
class PoolLayout:
    """The batches of a pool.

    Attributes:
        starts: Position of the first sample of each batch, and their number, ``[t + 1]`` int64.
        digest: Of the batches, the positions' ids and a dozen samples.
        ids: Ids ``[n]`` of samples that come without ids; None for ``0..n-1``.
        meaning: What these ids are, in words.
    """

    starts: npt.NDArray[np.int64]
    digest: str
    ids: SampleIds | None
    meaning: str

    @classmethod
    def of(cls, loader: DataLoader[Any]) -> "PoolLayout":
        """Reads the batches' positions, and a dozen samples.

        Example:
            >>> PoolLayout.of(DataLoader(range(5), batch_size=2)).starts.tolist()
            [0, 2, 4, 5]
        """
        assert loader.batch_sampler is not None
        positions = positions_of_loader(loader)
        dataset: Any = loader.dataset
        n = len(dataset)
        digest = hashlib.blake2b(f"{type(dataset).__name__} {n}".encode(), digest_size=16)
        if positions.ids is not None:
            digest.update(fingerprint(positions.ids, ordered=True).encode())
        lengths = []
        for batch in loader.batch_sampler:
            lengths.append(len(batch))
            digest.update(repr(batch).encode())
        for position in np.unique(np.linspace(0, n - 1, _ITEMS).astype(np.int64)).tolist():
            try:
                _add(digest, dataset[position] if n else None)
            except (LookupError, TypeError):  # a data set whose keys are not positions
                break
        starts = np.cumsum([0, *lengths], dtype=np.int64)
        return cls(starts, digest.hexdigest(), positions.ids, positions.meaning)

    def ids_of(self, batch: int) -> SampleIds:
        """Returns the ids of a batch that comes without ids."""
        start, stop = self.starts[batch], self.starts[batch + 1]
        return np.arange(start, stop) if self.ids is None else self.ids[start:stop]


def _add(digest: Any, item: Any) -> None:
    """Adds an item's content; of objects of unknown kinds, only the name of the kind."""
    digest.update(type(item).__name__.encode())
    if isinstance(item, Mapping):
        for key, value in item.items():
            digest.update(repr(key).encode())
            _add(digest, value)
    elif isinstance(item, tuple | list):
        for value in item:
            _add(digest, value)
    elif isinstance(item, Tensor):
        _add(digest, item.detach().cpu().float().numpy())
    elif hasattr(item, "tobytes"):  # arrays and pictures
        digest.update(item.tobytes())
    elif isinstance(item, str | bytes | int | float | bool):
        digest.update(repr(item).encode())
