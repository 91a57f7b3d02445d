"""Counts samples that are equal or nearly equal to an earlier one."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.app.check.sketch import (
    Sketch,
    earlier_ones,
    sketch_columns,
    sketch_images,
    sketch_samples,
)
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.labels import Label
from lightning_badge.progress import progress_bar
from lightning_badge.sample_ids import SampleId

MOST = 20_000
_EXAMPLES = 3

Pair = tuple[SampleId, SampleId]


@dataclass(frozen=True)
class Duplicates:
    """Samples that repeat earlier ones.

    Attributes:
        compared: Number of samples compared.
        exact: Number of samples whose content is that of an earlier one.
        near: Number of other samples that nearly are an earlier one.
        exact_examples: Some of the former, each with the earlier sample.
        near_examples: Some of the latter, each with the earlier sample.
        conflicting: Exact copies whose known labels differ.
    """

    compared: int
    exact: int
    near: int
    exact_examples: list[Pair]
    near_examples: list[Pair]
    conflicting: list[Pair]


@dataclass(frozen=True, eq=False)
class _Content:
    ids: list[SampleId]
    digests: list[bytes]
    sketch: Sketch


def find_duplicates(
    datamodule: ActiveLearningDataModule,
    labels: Mapping[SampleId, Label],
    *,
    most: int = MOST,
    progress: bool = True,
) -> Duplicates | None:
    """Compares samples with each other; None if the inputs are neither images nor numbers.

    Args:
        datamodule: The data.
        labels: Known labels.
        most: Of more samples, this many are drawn at random and compared.
        progress: Whether to show a progress bar on a terminal.
    """
    samples = getattr(datamodule, "samples", None)
    if isinstance(samples, Samples):
        content: _Content | None = _of_folder(samples, most)
    else:
        content = _of_items(datamodule, most)
    if content is None:
        return None
    exact = _earlier_equal(content.digests)
    kept = [row for row, other in enumerate(exact) if other is None]
    sketch = Sketch(content.sketch.rows[kept], content.sketch.closest)
    with progress_bar("Comparing samples", len(kept), enabled=progress) as advance:
        near = earlier_ones(sketch, advance=advance)

    def pairs(others: Iterable[tuple[int, int | None]]) -> list[Pair]:
        ids = content.ids
        return [(ids[row], ids[other]) for row, other in others if other is not None]

    equal = pairs(enumerate(exact))
    close = pairs(
        (kept[row], None if other is None else kept[other]) for row, other in enumerate(near)
    )
    return Duplicates(
        len(content.ids),
        len(equal),
        len(close),
        equal[:_EXAMPLES],
        close[:_EXAMPLES],
        [(a, b) for a, b in equal if a in labels and b in labels and labels[a] != labels[b]],
    )


def _of_folder(samples: Samples, most: int) -> _Content:
    positions = _drawn(len(samples.sample_ids), most)
    shown = [samples.shown[position] for position in positions]
    return _Content(
        [samples.sample_ids[position] for position in positions],
        [_digest(text, samples.shown_as) for text in shown],
        sketch_samples(samples, positions),
    )


def _of_items(datamodule: ActiveLearningDataModule, most: int) -> _Content | None:
    """Returns the content of samples whose inputs are tensors of one shape."""
    datasets: list[Any] = [
        loader.dataset for loader in (datamodule.labeled_dataloader(), datamodule.pool_dataloader())
    ]
    places = [(data, row) for data in datasets for row in range(len(data))]
    ids: list[SampleId] = []
    inputs: list[Tensor] = []
    for number in _drawn(len(places), most):
        data, row = places[number]
        sample_id, item = data[row]
        first = item[0] if isinstance(item, tuple | list) else None
        if not isinstance(first, Tensor) or first.shape != (inputs or [first])[0].shape:
            return None
        ids.append(sample_id)
        inputs.append(first)
    if not inputs:
        return None
    stacked = torch.stack(inputs)
    if stacked.ndim == 4 and stacked.shape[1] in (1, 3):
        sketch = sketch_images(stacked, list(range(len(ids))))
    elif stacked.ndim == 2 and stacked.is_floating_point():
        sketch = sketch_columns(stacked)
    else:
        return None
    digests = [hashlib.blake2b(row.numpy().tobytes(), digest_size=16).digest() for row in stacked]
    return _Content(ids, digests, sketch)


def _drawn(n: int, most: int) -> list[int]:
    if n <= most:
        return list(range(n))
    drawn: list[int] = np.sort(np.random.default_rng(0).permutation(n)[:most]).tolist()
    return drawn


def _digest(shown: str, shown_as: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    if shown_as != "path":
        digest.update(" ".join(shown.split()).encode("utf-8", "replace"))
        return digest.digest()
    with Path(shown).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()


def _earlier_equal(digests: list[bytes]) -> list[int | None]:
    first: dict[bytes, int] = {}
    earlier = (first.setdefault(digest, row) for row, digest in enumerate(digests))
    return [None if other == row else other for row, other in enumerate(earlier)]
