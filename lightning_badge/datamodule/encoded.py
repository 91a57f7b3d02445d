"""A data module whose samples are features instead of what the encoder embedded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, default_collate

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.dataset_view import MapStyle, target_of
from lightning_badge.datamodule.folder.datamodule import FolderDataModule
from lightning_badge.datamodule.folder.samples import FolderDataset, Samples
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.encoders import RawSamples
from lightning_badge.exceptions import EncoderError
from lightning_badge.labels import as_label
from lightning_badge.sample_ids import SampleId, positions_of

_KEYS = ("text", "image", "pixel_values", "input", "inputs", "x")


@dataclass(frozen=True, eq=False)
class FolderRaw:
    """The samples of a folder: strings, paths of images, or tensors.

    Attributes:
        samples: The samples.
        as_tensors: Whether to read them as the data set yields them.
    """

    samples: Samples
    as_tensors: bool = False

    @property
    def kind(self) -> str:
        """``texts``, ``images`` or ``tensors``."""
        return "tensors" if self.as_tensors or not self.is_shown else self.samples.kind

    @property
    def is_shown(self) -> bool:
        """Whether the samples are texts or images that a Hugging Face model can read."""
        return self.samples.kind != "tables" and len(self.samples.shown) > 0

    @property
    def keys(self) -> Sequence[str]:
        """The ids as text."""
        return list(map(str, self.samples.sample_ids))

    def read(self, positions: Sequence[int]) -> list[Any]:
        """Returns samples as they are in their files."""
        if self.kind == "tensors":
            return list(self.samples.inputs[list(positions)])
        shown = [self.samples.shown[position] for position in positions]
        return [Path(name) for name in shown] if self.kind == "images" else list(shown)


@dataclass(frozen=True, eq=False)
class DatasetRaw:
    """The inputs of several data sets, one after the other.

    Attributes:
        parts: Name and data set of each part.
        names: Ids of the samples of each part.
        target_key: Entry of the target in an item.
    """

    parts: Mapping[str, MapStyle]
    names: Mapping[str, Sequence[SampleId]]
    target_key: int | str

    @property
    def kind(self) -> str:
        """``texts`` or ``images`` by the first item, else ``tensors``."""
        (first,) = self.read([0])
        if isinstance(first, str):
            return "texts"
        return "images" if first.ndim == 3 else "tensors"

    @property
    def keys(self) -> Sequence[str]:
        """The part and the id of each sample."""
        return [f"{part}: {name}" for part in self.parts for name in self.names[part]]

    def read(self, positions: Sequence[int]) -> list[Any]:
        """Returns the inputs of items: strings or tensors."""
        ends = np.cumsum([len(part) for part in self.parts.values()])
        found = []
        for position in positions:
            number = int(np.searchsorted(ends, position, side="right"))
            part = list(self.parts.values())[number]
            item = part[position - (int(ends[number - 1]) if number else 0)]
            found.append(_input_of(item, self.target_key))
        return found


@dataclass(frozen=True, eq=False)
class FeatureDataset(Dataset[tuple[Tensor, Any]]):
    """Pairs of features and a target.

    Attributes:
        array: Features of all samples, memory-mapped.
        rows: Rows in ``array`` of the samples of this data set, ``[m]``.
        positions: Their positions in `raw_samples`, ``[m]``.
        target: Returns the target of the sample at a position in 0..m-1.
    """

    array: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    target: Callable[[int], Any]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[Tensor, Any]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[tuple[Tensor, Any]]:
        features = torch.from_numpy(np.asarray(self.array[self.rows[rows]]))
        return list(zip(features, map(self.target, rows), strict=True))


@dataclass(frozen=True, eq=False)
class RawDataset(Dataset[tuple[Any, Any]]):
    """Pairs of a raw sample and a target, in place of a `FeatureDataset`."""

    samples: RawSamples
    features: FeatureDataset

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, row: int) -> tuple[Any, Any]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[tuple[Any, Any]]:
        read = self.samples.read(self.features.positions[rows].tolist())
        return list(zip(read, map(self.features.target, rows), strict=True))


class _Targets:
    """The targets of a data set, each read once."""

    def __init__(self, data: MapStyle, key: int | str) -> None:
        self._data, self._key, self._known = data, key, dict[int, Any]()

    def __call__(self, position: int) -> Any:
        if isinstance(self._data, FolderDataset):
            return self._data.encoded[position]
        if position not in self._known:
            label = as_label(target_of(self._data[position], self._key))
            self._known[position] = label if isinstance(label, int) else torch.tensor(label)
        return self._known[position]


def raw_samples(datamodule: ActiveLearningDataModule, *, as_tensors: bool = False) -> RawSamples:
    """Returns what an encoder embeds: all samples of a data module, those for validation included.

    Args:
        datamodule: The data, before `use_features`.
        as_tensors: Whether to read a folder's samples as its data set yields them, for a network
            that is not one of Hugging Face.
    """
    if isinstance(datamodule, FolderDataModule):
        return FolderRaw(datamodule.samples, as_tensors)
    parts = datamodule.data_sets()
    names = {name: range(len(data)) for name, data in parts.items()}
    ids: Mapping[str, Sequence[SampleId]] = {**names, "train": datamodule.sample_ids.tolist()}
    return DatasetRaw(parts, ids, datamodule.target_key)


def use_features(
    datamodule: ActiveLearningDataModule, array: npt.NDArray[np.float32], rows: Sequence[int]
) -> None:
    """Makes a data module yield pairs of features and a target.

    Ids, labels and the split stay as they are, and so do labels that are given later.

    Args:
        datamodule: The data.
        array: Features, memory-mapped or not.
        rows: The row in ``array`` of each sample, in the order of `raw_samples`.
    """
    row_of, start = np.asarray(rows, dtype=np.int64), 0
    replaced = {}
    for name, data in datamodule.data_sets().items():
        if isinstance(data, FolderDataset):
            positions = np.asarray(data.positions, dtype=np.int64)
        else:
            positions = np.arange(start, start + len(data))
            start += len(data)
        target = _Targets(data, datamodule.target_key)
        replaced[name] = FeatureDataset(array, row_of[positions], positions, target)
    datamodule.replace_data(replaced)
    datamodule.cold_start = partial(_cold_start, datamodule, replaced["train"])


def use_raw(
    datamodule: ActiveLearningDataModule,
    samples: RawSamples,
    collate: Callable[[list[Any]], Any],
) -> None:
    """Makes a data module that yields features yield the raw samples again, to train an encoder.

    Args:
        datamodule: The data, after `use_features`.
        samples: What `raw_samples` returned before it.
        collate: Makes the inputs of the encoder of a list of raw samples.
    """
    parts = {}
    for name, data in datamodule.data_sets().items():
        assert isinstance(data, FeatureDataset), "use_features was called before"
        parts[name] = RawDataset(samples, data)
    datamodule.replace_data(parts, collate_fn=_CollateRaw(collate))


@dataclass(frozen=True)
class _CollateRaw:
    """Makes a batch (inputs, targets) of pairs."""

    collate: Callable[[list[Any]], Any]

    def __call__(self, pairs: list[tuple[Any, Any]]) -> tuple[Any, Any]:
        inputs, targets = zip(*pairs, strict=True)
        return self.collate(list(inputs)), default_collate(list(targets))


def _cold_start(datamodule: ActiveLearningDataModule, train: FeatureDataset) -> GradientEmbedding:
    """Returns the features of the pool, which need no label."""
    ids = datamodule.pool_ids
    rows = train.rows[positions_of(ids, datamodule.sample_ids)]
    return GradientEmbedding.from_dense(torch.from_numpy(train.array[rows]), sample_ids=ids)


def _input_of(item: Any, target_key: int | str) -> Any:
    """Returns the input of an item: a string or a tensor."""
    if isinstance(item, Mapping):
        entry = next((item[key] for key in _KEYS if key in item and key != target_key), None)
    else:
        entry = item[0] if isinstance(item, tuple | list) and len(item) else None
    if isinstance(entry, str):
        return entry
    try:
        return torch.as_tensor(entry)
    except (TypeError, ValueError, RuntimeError):
        found = f"keys {', '.join(map(repr, item))}" if isinstance(item, Mapping) else type(item)
        raise EncoderError(
            f"encoder: expected items with a text or a tensor first, or under one of the keys "
            f"{', '.join(_KEYS)}, got {found}"
        ) from None
