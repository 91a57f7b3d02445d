"""What people see of a sample: a picture, a text, or a row of a table."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.datamodule.pictures import encoded, input_of, is_image, picture_of
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
    items = datamodule.evaluation_items()
    return {
        sample_id: input_of(items[row][1])
        for row, sample_id in enumerate(items.sample_ids.tolist())
        if sample_id in wanted
    }


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
    return _as_uri(upright, "JPEG")


def _of_tensor(pixels: Any) -> str | None:
    """Returns the picture of an image tensor; None for other inputs, or without Pillow."""
    if not is_image(pixels):
        return None
    try:
        from PIL import Image
    except ImportError:
        return None
    image = picture_of(pixels)
    scale = max(SIDE // max(image.size), 1)
    enlarged = image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)
    return _as_uri(enlarged, "PNG")


def _as_uri(image: Any, format: str) -> str:
    content = base64.b64encode(encoded(image, format)).decode()
    return f"data:image/{format.lower()};base64,{content}"
