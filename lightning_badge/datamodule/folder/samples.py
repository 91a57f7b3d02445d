"""The samples that a folder holds, as tensors with their ids."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_badge.sample_ids import SampleId

KINDS = ("images", "texts", "tables")


class Inputs(Protocol):
    """Inputs of samples by their positions: a tensor ``[n, ...]``, or files that are read."""

    def __len__(self) -> int: ...

    def __getitem__(self, positions: list[int], /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Samples:
    """What was found in a folder or a file.

    Attributes:
        kind: One of `KINDS`.
        sample_ids: Ids, ``[n]``.
        inputs: Inputs, ``[n, ...]``; uint8 stands for values in 0..1.
        left_out: Reason why a sample cannot be read, by its name.
        notes: Lines that say which columns were chosen.
        labels: Labels that the file itself holds, as text.
        shown_as: What people see of a sample: ``path``, ``text`` or ``row``.
        source: Name of the folder or file.
        shown: That of each sample, ``[n]``; empty if it is not known.
        columns: Values of each column of a table as its file has them, ``[n]`` each.
    """

    kind: str
    sample_ids: Sequence[SampleId]
    inputs: Inputs
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    labels: Mapping[SampleId, str] = field(default_factory=dict)
    source: str = ""
    shown_as: str = "path"
    shown: Sequence[str] = ()
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FolderDataset(Dataset[tuple[Tensor, Any]]):
    """Pairs of an input and a target.

    Attributes:
        inputs: Inputs of all samples.
        positions: Positions in ``inputs`` of the samples of this data set, ``[m]``.
        encoded: Target of each of them, ``[m]``: a placeholder where it is not known.
    """

    inputs: Inputs
    positions: Sequence[int]
    encoded: Sequence[Any]

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, row: int) -> tuple[Tensor, Any]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[tuple[Tensor, Any]]:
        inputs = self.inputs[[self.positions[row] for row in rows]]
        if inputs.dtype == torch.uint8:
            inputs = inputs.float() / 255
        return list(zip(inputs, (self.encoded[row] for row in rows), strict=True))
