"""What a request says of a sample: an image, a text or a row, by value or by its address."""

import base64
import math
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lightning_badge import arguments as check
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.datamodule.pictures import encoded, input_of, is_image, picture_of
from lightning_badge.exceptions import LabelError
from lightning_badge.file_limits import read_text
from lightning_badge.sample_ids import SampleId

_MEDIA_TYPES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}


class Contents:
    """The contents of the samples of a datamodule, read when they are asked for.

    Args:
        datamodule: A folder of images, texts or a table, or data whose items begin with an image
            tensor.
        urls: A template over ``{sample_id}``: requests carry this address instead of the sample;
            None sends samples by value.

    Attributes:
        kind: ``images``, ``texts`` or ``tables``.

    Raises:
        LabelError: The samples cannot be sent, or the template is not one.
    """

    def __init__(self, datamodule: ActiveLearningDataModule, *, urls: str | None = None) -> None:
        self._urls = _checked(urls)
        self._datamodule = datamodule
        self._items = datamodule.evaluation_items()
        self._samples: Samples | None = None
        self._row: dict[SampleId, int] = {}
        self.refresh()
        self.kind = self._kind()

    def refresh(self) -> None:
        """Takes in samples that were added to the data."""
        samples = getattr(self._datamodule, "samples", None)
        self._samples = samples if isinstance(samples, Samples) and samples.shown else None
        if self._samples is not None:
            ids = list(self._samples.sample_ids)
        else:
            items = self._datamodule.evaluation_items()
            if self._row and not is_image(input_of(items[0][1])):
                return  # an encoder replaced the pictures by features
            self._items, ids = items, self._datamodule.sample_ids.tolist()
        self._row = {sample_id: row for row, sample_id in enumerate(ids)}

    def of(self, sample_id: SampleId) -> dict[str, Any]:
        """Returns one entry: ``image`` (a data URI), ``text``, ``row`` (cells by name) or ``url``.

        Raises:
            LabelError: The sample cannot be read.
        """
        if self._urls is not None:
            return {"url": self._urls.replace("{sample_id}", quote(str(sample_id)))}
        if sample_id not in self._row:
            raise LabelError(f"sample {sample_id!r}: there is no picture of it to send")
        row, samples = self._row[sample_id], self._samples
        if samples is None:
            pixels = input_of(self._items[row][1])
            return {"image": _data_uri(encoded(picture_of(pixels.cpu()), "PNG"), "image/png")}
        if samples.kind == "texts":
            return {"text": samples.shown[row]}
        if samples.kind == "tables":
            return {"row": {name: _plain(cells[row]) for name, cells in samples.columns.items()}}
        return {"image": _of_file(Path(samples.shown[row]))}

    def _kind(self) -> str:
        if self._samples is not None:
            return self._samples.kind
        pixels = input_of(self._items[0][1])
        if not is_image(pixels):
            raise LabelError(
                "labelers: expected a folder of images, texts or a table (data=folder), or data "
                "whose items begin with an image tensor [1 or 3, height, width], got items that "
                f"begin with {type(pixels).__name__}; choose labelers=files"
            )
        try:
            picture_of(pixels)
        except ImportError as error:
            raise LabelError("labelers: pictures need Pillow; pip install pillow") from error
        return "images"


def read_guidelines(path: str | None) -> str | None:
    """Returns the text of a file that explains the classes; None without a file.

    Raises:
        LabelError: It cannot be read.
    """
    if path is None:
        return None
    check.path("labelers.guidelines", path, error=LabelError)
    return read_text(
        Path(path).expanduser(), "a text file in UTF-8 (labelers.guidelines)", LabelError
    )


def _checked(urls: str | None) -> str | None:
    if urls is None or (isinstance(urls, str) and "{sample_id}" in urls):
        return urls
    raise LabelError(
        f"labelers.urls: expected an address with {{sample_id}} in it, or null, got {urls!r}"
    )


def _of_file(path: Path) -> str:
    try:
        return _data_uri(path.read_bytes(), _MEDIA_TYPES.get(path.suffix.lower(), "image/png"))
    except OSError as error:
        raise LabelError(f"{path}: cannot be read any more: {error}") from error


def _data_uri(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return value if isinstance(value, float) and math.isfinite(value) else str(value)
