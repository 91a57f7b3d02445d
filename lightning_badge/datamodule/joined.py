"""Data sets one after the other, for samples that are added to others."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from lightning_badge.datamodule.arguments import known_labels
from lightning_badge.datamodule.dataset_view import MapStyle
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids


@dataclass(frozen=True, eq=False)
class JoinedDataset(Dataset[Any]):
    """The items of several data sets, in the order of these."""

    parts: Sequence[MapStyle]

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, position: int) -> Any:
        return self.__getitems__([position])[0]

    def __getitems__(self, positions: list[int]) -> list[Any]:
        ends = np.cumsum([len(part) for part in self.parts])
        part_of = np.searchsorted(ends, positions, side="right").tolist()
        rows_of: dict[int, list[int]] = {}
        for row, number in enumerate(part_of):
            rows_of.setdefault(number, []).append(row)
        items: list[Any] = [None] * len(positions)
        for number, rows in sorted(rows_of.items()):
            part, start = self.parts[number], int(ends[number]) - len(self.parts[number])
            within = [positions[row] - start for row in rows]
            fetch = getattr(part, "__getitems__", None)  # as torch's own loaders ask
            found = fetch(within) if fetch else [part[position] for position in within]
            for row, item in zip(rows, found, strict=True):
                items[row] = item
        return items


def joined(first: MapStyle, second: MapStyle) -> JoinedDataset:
    """Returns a data set with the items of two."""
    parts = first.parts if isinstance(first, JoinedDataset) else [first]
    return JoinedDataset([*parts, second])


def joined_ids(ids: SampleIds, added: Iterable[SampleId] | None, n: int) -> SampleIds:
    """Returns the ids of samples and of ``n`` further ones behind them.

    Args:
        ids: Ids of the samples that are there.
        added: Ids of the further ones; None continues 0, 1, 2, ...
        n: Number of the further ones.

    Raises:
        LabelError: Ids that are there already, of another type, or None behind other ids.
    """
    if added is None:
        if ids.tolist() != list(range(len(ids))):
            raise LabelError(
                "add: expected sample_ids=, because those of the other samples were given"
            )
        added = range(len(ids), len(ids) + n)
    new = as_sample_ids(added)
    if len(new) != n:
        raise LabelError(f"add: expected an id for each of {n} samples, got {len(new)}")
    return as_sample_ids([*ids.tolist(), *new.tolist()])


def joined_labels(
    known: list[Label] | None, data: MapStyle, labels: Iterable[Any] | None
) -> list[Label] | None:
    """Returns the targets that are known beforehand, those of further samples behind the others.

    Raises:
        LabelError: Only those of some samples are known.
    """
    if known is None:
        if labels is not None:
            raise LabelError(
                "add: expected no labels=, because those of the other samples are not known; "
                "add the samples, then label(ids, labels)"
            )
        return None
    added = known_labels(data, labels)
    if added is None:
        raise LabelError("add: expected labels=, because those of the other samples are known")
    return [*known, *added]
