"""What the page shows of each sample of a datamodule."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.datamodule.pictures import encoded, input_of, is_image, picture_of
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.page.page_files import ShownSample
from lightning_badge.progress import progress_bar


def kind_of(datamodule: ActiveLearningDataModule) -> str:
    """Returns what the samples are: ``images``, ``texts`` or ``tables``.

    Raises:
        LabelError: The page cannot show them.
    """
    if (samples := _samples(datamodule)) is not None:
        return samples.kind
    _, item = datamodule.evaluation_items()[0]
    found = input_of(item)
    if not is_image(found):
        shape = list(found.shape) if hasattr(found, "shape") else ""
        raise LabelError(
            "labelers=page: expected a folder of images, texts or a table (data=folder), or data "
            "whose items begin with an image tensor [1 or 3, height, width], got items that begin "
            f"with {type(found).__name__} {shape}".rstrip()
            + "; choose labelers=files"
        )
    try:
        picture_of(found)
    except ImportError as error:
        raise LabelError(
            'labelers=page: pictures need Pillow; pip install "lightning-badge[page]"'
        ) from error
    return "images"


def shown_samples(datamodule: ActiveLearningDataModule) -> Iterator[ShownSample]:
    """Yields what people see of all samples, those for validation included."""
    samples = _samples(datamodule)
    if samples is None:
        yield from _pictures(datamodule)
        return
    position_of = {sample_id: row for row, sample_id in enumerate(samples.sample_ids)}
    for sample_id in datamodule.sample_ids.tolist():
        row = position_of[sample_id]
        if samples.kind == "tables":
            yield ShownSample(sample_id, _as_json(samples, row))
        elif samples.kind == "images":
            yield ShownSample(sample_id, str(Path(samples.shown[row]).absolute()))
        else:
            yield ShownSample(sample_id, samples.shown[row])


def title_of(datamodule: ActiveLearningDataModule, run_path: Path) -> str:
    """Returns the name of the data; that of the run if they have none."""
    samples = _samples(datamodule)
    return (samples.source if samples else "") or run_path.name


def _samples(datamodule: ActiveLearningDataModule) -> Samples | None:
    samples = getattr(datamodule, "samples", None)
    return samples if isinstance(samples, Samples) and len(samples.shown) else None


def _pictures(datamodule: ActiveLearningDataModule) -> Iterator[ShownSample]:
    items = datamodule.evaluation_items()
    with progress_bar("Writing pictures", len(items)) as advance:
        for row in range(len(items)):
            sample_id, item = items[row]
            pixels = input_of(item)
            if not is_image(pixels):
                raise LabelError(
                    f"labelers=page: sample {sample_id!r}: expected an image tensor like the "
                    f"others, got {type(pixels).__name__}"
                )
            yield ShownSample(sample_id, picture=encoded(picture_of(pixels.cpu()), "PNG"))
            advance(1)


def _as_json(samples: Samples, row: int) -> str:
    cells = {name: _plain(values[row]) for name, values in samples.columns.items()}
    return json.dumps(cells, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)
