"""Image data sets that Hugging Face ``datasets`` can read, from the Hub or a folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.examples.splits import check_column, read_classes, read_splits, reading
from lightning_badge.exceptions import BadgeError
from lightning_badge.sample_ids import SampleId

# Decoded pixels up to this size are kept in memory: a run reads the pool every round, and decoding
# would take longer than the model. MNIST takes 47 MB.
_IN_MEMORY_BYTES = 2**30
_DECODED_AT_ONCE = 1000


def huggingface(
    path: str,
    *,
    name: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    train_split: str = "train",
    val_split: str | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    initial_labeled: int | Iterable[SampleId] = 20,
    batch_size: int = 32,
    eval_batch_size: int = 256,
    num_workers: int = 0,
    seed: int = 0,
) -> ActiveLearningDataModule:
    """Builds labeled set, pool and validation data from an image data set.

    Images are float32 ``[channels, height, width]`` in 0..1. Sample ids are row numbers of the
    train split. A folder or a data set in the cache of ``datasets`` needs no network.

    Args:
        path: A folder, or the name of a data set on the Hub such as ``ylecun/mnist``.
        name: The configuration of the data set, if it has several.
        image_column: Column of the images.
        label_column: Column of the classes: class labels, ints from 0, or strings.
        train_split: Split for labeled set and pool; a slice such as ``train[:5000]`` works too.
        val_split: Split for validation; None uses ``validation``, or ``test`` if that is missing.
        image_size: Side length in pixels to scale all images to; None keeps their common size.
        channels: 1 for gray, 3 for color; None uses that of the first image.
        initial_labeled: Number of initial labels, drawn stratified, or their sample ids.
        batch_size: Images in a training batch.
        eval_batch_size: Images in a validation or pool batch.
        num_workers: Worker processes of each loader.
        seed: Seeds the draw of the initial labels.

    Raises:
        BadgeError: The data cannot be read, a split or column is missing, or images differ in size.
    """
    with reading(path):
        train_rows, val_rows = read_splits(path, name, train_split, val_split)
        form = _ImageForm.of_first(train_rows, image_column, image_size, channels)
        pixels = [_pixels(rows, image_column, form) for rows in (train_rows, val_rows)]
        train, val, class_names = read_classes(train_rows, val_rows, label_column)
    return ActiveLearningDataModule(
        _Images(pixels[0], train),
        _Images(pixels[1], val),
        initial_labeled=initial_labeled,
        labels=train,
        class_names=class_names,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        num_workers=num_workers,
        seed=seed,
    )


@dataclass(frozen=True)
class _ImageForm:
    """The mode and size that every image is converted to."""

    mode: str
    width: int
    height: int
    scaled: bool

    @classmethod
    def of_first(
        cls, rows: Any, column: str, image_size: int | None, channels: int | None
    ) -> "_ImageForm":
        image = _as_images(rows, column, mode=None)[0][column]
        if image.mode in ("I", "I;16", "F"):
            raise BadgeError(
                f"column {column!r}: expected images of 8 bits per channel, got mode {image.mode}"
            )
        modes = {None: "L" if image.mode in ("1", "L", "LA") else "RGB", 1: "L", 3: "RGB"}
        if channels not in modes:
            raise BadgeError(f"channels: expected 1 (gray) or 3 (color), got {channels}")
        width, height = (image_size, image_size) if image_size else image.size
        return cls(modes[channels], width, height, scaled=image_size is not None)

    @property
    def shape(self) -> tuple[int, int, int]:
        return (len(self.mode), self.height, self.width)

    def pixels(self, image: Any) -> npt.NDArray[np.uint8]:
        """Returns the pixels of an image, ``[channels, height, width]``."""
        if image is None:
            raise BadgeError("expected an image, got an empty row")
        if self.scaled:
            image = image.resize((self.width, self.height))
        elif image.size != (self.width, self.height):
            raise BadgeError(
                f"expected {self.width} x {self.height} pixels like the first image, got "
                f"{image.size[0]} x {image.size[1]}; pass image_size= to scale them all"
            )
        array = np.asarray(image).reshape(self.height, self.width, len(self.mode))
        pixels: npt.NDArray[np.uint8] = array.transpose(2, 0, 1)
        return pixels


@dataclass(frozen=True, eq=False)
class _EncodedPixels:
    """Pixels that are decoded on each access."""

    rows: Any
    column: str
    form: _ImageForm

    def __getitem__(self, rows: list[int]) -> Tensor:
        images = self.rows[rows][self.column]
        return torch.from_numpy(np.stack([self.form.pixels(image) for image in images]))


@dataclass(frozen=True, eq=False)
class _Images(Dataset[tuple[Tensor, int]]):
    """A data set of pairs: an image in 0..1 and its class."""

    pixels: Tensor | _EncodedPixels
    targets: list[int]

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.__getitems__([row])[0]

    def __getitems__(self, rows: list[int]) -> list[tuple[Tensor, int]]:
        images = self.pixels[rows].float() / 255
        return list(zip(images, (self.targets[row] for row in rows), strict=True))


def _pixels(rows: Any, column: str, form: _ImageForm) -> Tensor | _EncodedPixels:
    encoded = _EncodedPixels(_as_images(rows, column, form.mode), column, form)
    if len(rows) * np.prod(form.shape) > _IN_MEMORY_BYTES:
        return encoded
    pixels = torch.empty((len(rows), *form.shape), dtype=torch.uint8)
    for start in range(0, len(rows), _DECODED_AT_ONCE):
        block = range(start, min(start + _DECODED_AT_ONCE, len(rows)))
        pixels[block.start : block.stop] = encoded[list(block)]
    return pixels


def _as_images(rows: Any, column: str, mode: str | None) -> Any:
    from datasets import Image

    check_column(rows, column)
    try:
        return rows.select_columns([column]).cast_column(column, Image(mode=mode))
    except (TypeError, ValueError, NotImplementedError) as error:
        raise BadgeError(
            f"column {column!r}: expected images, got {rows.features[column]}"
        ) from error
