"""What people see of each sample of a datamodule."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.datamodule.pictures import encoded, input_of, is_image, picture_of
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.base import ShownSample
from lightning_badge.progress import progress_bar
from lightning_badge.sample_ids import SampleId


class ShownSamples:
    """What people see of the samples of a datamodule, by sample id.

    Args:
        datamodule: Knows the samples.
        labelers: Name of the labelers, for error messages.

    Attributes:
        kind: What the samples are: ``images``, ``texts`` or ``tables``.

    Raises:
        LabelError: Such samples cannot be shown.
    """

    def __init__(self, datamodule: ActiveLearningDataModule, labelers: str) -> None:
        self.kind = kind_of(datamodule, labelers)
        self._labelers = labelers
        self._samples = _samples(datamodule)
        self._items = datamodule.evaluation_items()
        ids = datamodule.sample_ids if self._samples is None else self._samples.sample_ids
        self._row: dict[SampleId, int] = {key: row for row, key in enumerate(ids)}

    def __contains__(self, sample_id: SampleId) -> bool:
        return sample_id in self._row

    def of(self, sample_id: SampleId) -> ShownSample:
        """Returns what people see of a sample."""
        row, samples = self._row[sample_id], self._samples
        if samples is None:
            return ShownSample(sample_id, picture=self._picture(sample_id, row))
        if samples.kind == "tables":
            return ShownSample(sample_id, _as_json(samples, row))
        if samples.kind == "images":
            return ShownSample(sample_id, str(Path(samples.shown[row]).absolute()))
        return ShownSample(sample_id, samples.shown[row])

    def _picture(self, sample_id: SampleId, row: int) -> bytes:
        _, item = self._items[row]
        pixels = input_of(item)
        if not is_image(pixels):
            raise LabelError(
                f"labelers={self._labelers}: sample {sample_id!r}: expected an image tensor like "
                f"the others, got {type(pixels).__name__}"
            )
        return encoded(picture_of(pixels.cpu()), "PNG")


def kind_of(datamodule: ActiveLearningDataModule, labelers: str) -> str:
    """Returns what the samples are: ``images``, ``texts`` or ``tables``.

    Args:
        datamodule: Knows the samples.
        labelers: Name of the labelers, for error messages.

    Raises:
        LabelError: Such samples cannot be shown.
    """
    if (samples := _samples(datamodule)) is not None:
        return samples.kind
    _, item = datamodule.evaluation_items()[0]
    found = input_of(item)
    if not is_image(found):
        shape = list(found.shape) if hasattr(found, "shape") else ""
        raise LabelError(
            f"labelers={labelers}: expected a folder of images, texts or a table (data=folder), or "
            "data whose items begin with an image tensor [1 or 3, height, width], got items that "
            f"begin with {type(found).__name__} {shape}".rstrip()
            + "; choose labelers=files"
        )
    try:
        picture_of(found)
    except ImportError as error:
        raise LabelError(
            f'labelers={labelers}: pictures need Pillow; pip install "lightning-badge[page]"'
        ) from error
    return "images"


def shown_samples(datamodule: ActiveLearningDataModule, labelers: str) -> Iterator[ShownSample]:
    """Yields what people see of all samples, those for validation included.

    Args:
        datamodule: Knows the samples.
        labelers: Name of the labelers, for error messages.
    """
    shown = ShownSamples(datamodule, labelers)
    ids: list[SampleId] = datamodule.sample_ids.tolist()
    are_files = _samples(datamodule) is not None
    with progress_bar("Writing pictures", len(ids), enabled=not are_files) as advance:
        for sample_id in ids:
            yield shown.of(sample_id)
            advance(1)


def title_of(datamodule: ActiveLearningDataModule, run_path: Path) -> str:
    """Returns the name of the data; that of the run if they have none."""
    samples = _samples(datamodule)
    return (samples.source if samples else "") or run_path.name


def _samples(datamodule: ActiveLearningDataModule) -> Samples | None:
    samples = getattr(datamodule, "samples", None)
    return samples if isinstance(samples, Samples) and len(samples.shown) else None


def _as_json(samples: Samples, row: int) -> str:
    cells = {name: _plain(values[row]) for name, values in samples.columns.items()}
    return json.dumps(cells, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)
