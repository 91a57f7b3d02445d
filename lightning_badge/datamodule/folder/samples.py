"""The samples that a folder holds, as tensors with their ids."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_badge.datamodule.folder.ngrams import PADDING
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
        text_column: Name of the column of the texts.
        rules: How each column of a table becomes numbers.
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
    text_column: str | None = None
    rules: Mapping[str, Callable[[list[Any]], npt.NDArray[np.float64]]] = field(
        default_factory=dict
    )

    def __len__(self) -> int:
        return len(self.sample_ids)

    def with_more(self, more: "Samples") -> "Samples":
        """Returns these samples and further ones of the same folder behind them."""
        return replace(
            self,
            sample_ids=[*self.sample_ids, *more.sample_ids],
            inputs=JoinedInputs.of(self.inputs, more.inputs),
            left_out={**self.left_out, **more.left_out},
            labels={**self.labels, **more.labels},
            shown=[*self.shown, *more.shown],
            columns={
                name: [*values, *more.columns.get(name, [None] * len(more))]
                for name, values in self.columns.items()
            },
        )


@dataclass(frozen=True, eq=False)
class JoinedInputs:
    """Inputs of several reads of a folder, one after the other."""

    parts: Sequence[Inputs]

    @classmethod
    def of(cls, first: Inputs, second: Inputs) -> "JoinedInputs":
        """Joins two."""
        return cls([*(first.parts if isinstance(first, JoinedInputs) else [first]), second])

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, positions: list[int]) -> Tensor:
        ends = np.cumsum([len(part) for part in self.parts])
        part_of = np.searchsorted(ends, positions, side="right")
        found: list[tuple[Tensor, Tensor]] = []
        for number in np.unique(part_of).tolist() or [0]:
            start = int(ends[number]) - len(self.parts[number])
            rows = np.flatnonzero(part_of == number)
            inputs = self.parts[number][[positions[row] - start for row in rows.tolist()]]
            found.append((torch.from_numpy(rows), inputs))
        first = found[0][1]
        if len(found) == 1:
            return first
        # Lists of n-grams differ in length; they are padded at the end, as in each part.
        shape = [
            len(positions),
            *map(max, zip(*(part.shape[1:] for _, part in found), strict=True)),
        ]
        joined = first.new_full(shape, PADDING)
        for at, part in found:
            inside: Any = (at, *map(slice, part.shape[1:]))
            joined[inside] = part
        return joined


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
