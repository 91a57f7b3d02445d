"""What people see of a sample: a picture, a text, or a row of a table."""

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.sample_ids import SampleId

SIDE = 160  # pixels of the longer side of a picture
_MOST_CHARACTERS = 400


@dataclass(frozen=True)
class Preview:
    """What is shown of a sample; all are empty if there is nothing but its id.

    Attributes:
        picture: A picture as a data URI.
        text: A text, or a row in one line, cut after 400 characters.
    """

    picture: str | None = None
    text: str | None = None


def previews(
    datamodule: ActiveLearningDataModule, sample_ids: Iterable[SampleId]
) -> dict[SampleId, Preview]:
    """Returns what people see of samples, by sample id.

    Samples of `lightning_badge.datamodule.folder` are shown as they are in their files. Of other
    data, items are shown whose input is an image tensor.
    """
    wanted = list(dict.fromkeys(sample_ids))
    samples = getattr(datamodule, "samples", None)
    if isinstance(samples, Samples) and len(samples.shown):
        position_of = {sample_id: row for row, sample_id in enumerate(samples.sample_ids)}
        return {
            sample_id: _of_shown(samples.shown[position_of[sample_id]], samples.shown_as)
            for sample_id in wanted
            if sample_id in position_of
        }
    inputs = _inputs(datamodule, set(wanted))
    return {sample_id: Preview(_of_tensor(inputs.get(sample_id))) for sample_id in wanted}


def _of_shown(shown: str, shown_as: str) -> Preview:
    if shown_as == "path":
        return Preview(picture=_of_file(Path(shown)))
    is_long = len(shown) > _MOST_CHARACTERS
    return Preview(text=shown[:_MOST_CHARACTERS] + ("..." if is_long else ""))


def _inputs(datamodule: ActiveLearningDataModule, wanted: set[SampleId]) -> dict[SampleId, Any]:
    """Returns the inputs of samples, the first entry of their items."""
    inputs: dict[SampleId, Any] = {}
    for loader in (datamodule.pool_dataloader(), datamodule.labeled_dataloader()):
        dataset: Any = loader.dataset
        for row, sample_id in enumerate(dataset.sample_ids.tolist()):
            if sample_id in wanted:
                item = dataset[row][1]
                inputs[sample_id] = item[0] if isinstance(item, tuple | list) else None
    return inputs


def _of_file(path: Path) -> str | None:
    """Returns a small picture of an image file; None if the file has become unreadable."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((SIDE, SIDE))
    except (OSError, ValueError, SyntaxError):
        return None
    return _encoded(upright, "JPEG")


def _of_tensor(pixels: Any) -> str | None:
    """Returns the picture of an image tensor; None for other inputs, or without Pillow."""
    if not isinstance(pixels, Tensor) or pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        return None
    try:
        from PIL import Image
    except ImportError:
        return None
    if pixels.dtype != torch.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 1:  # normalized
            pixels = (pixels - low) / max(high - low, 1e-12)
        pixels = (pixels * 255).round().to(torch.uint8)
    array = pixels.permute(1, 2, 0).expand(-1, -1, 3).contiguous().numpy()
    image = Image.fromarray(array)
    scale = max(SIDE // max(image.size), 1)
    enlarged = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    return _encoded(enlarged, "PNG")


def _encoded(image: Any, format: str) -> str:
    file = io.BytesIO()
    image.save(file, format, quality=80)
    content = base64.b64encode(file.getvalue()).decode()
    return f"data:image/{format.lower()};base64,{content}"
