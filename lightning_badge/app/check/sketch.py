"""Short rows of numbers that are close to each other where samples nearly are the same."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from lightning_badge.datamodule.folder.cold_start import cold_start
from lightning_badge.datamodule.folder.ngrams import PADDING
from lightning_badge.datamodule.folder.samples import Inputs, Samples
from lightning_badge.sample_ids import as_sample_ids

_SIDE, _AT_ONCE = 12, 512
# Contrast below which an image is flat, so that its noise is not enlarged.
_LEAST_CONTRAST = 0.5
_BRIGHTNESS = 0.5
_TEXT_WIDTH = 256
_IMAGES, _TEXTS, _COLUMN = 0.01, 0.2, 1e-4


@dataclass(frozen=True, eq=False)
class Sketch:
    """Sketches of samples.

    Attributes:
        rows: float32 ``[n, d]``.
        closest: Samples are nearly the same if the squared distance of their rows is at most this.
    """

    rows: Tensor
    closest: float


def sketch_samples(samples: Samples, positions: list[int]) -> Sketch:
    """Returns sketches of samples of a folder.

    Images are shrunken to 12 x 12 pixels and their contrast normalized, so that other sizes,
    compressions and brightnesses of an image are close to it. Texts are close if the cosine of
    their sets of n-grams is 0.9, which random projections keep. Rows of tables are close if their
    columns differ by a hundredth of the standard deviation.
    """
    if samples.kind == "images":
        return sketch_images(samples.inputs, positions)
    if samples.kind == "texts":
        return sketch_ngrams(samples.inputs[positions])
    ids = as_sample_ids([samples.sample_ids[position] for position in positions])
    rows = cold_start(samples, ids).penultimate
    return Sketch(rows, _COLUMN * rows.shape[1])


def sketch_images(inputs: Inputs, positions: list[int]) -> Sketch:
    """Returns sketches of images ``[n, channels, height, width]``, uint8 or floats."""
    blocks = []
    for start in range(0, len(positions), _AT_ONCE):
        pixels = inputs[positions[start : start + _AT_ONCE]]
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels.float()
        small = functional.adaptive_avg_pool2d(pixels, _SIDE).flatten(1)
        mean = small.mean(dim=1, keepdim=True)
        contrast = (small - mean).norm(dim=1, keepdim=True).clamp(min=_LEAST_CONTRAST)
        blocks.append(torch.cat([(small - mean) / contrast, _BRIGHTNESS * mean], dim=1))
    return Sketch(torch.cat(blocks), _IMAGES)


def sketch_ngrams(buckets: Tensor) -> Sketch:
    """Returns sketches of texts, given the different buckets of their n-grams, ``[n, l]``."""
    draw = torch.Generator().manual_seed(0)
    projection = torch.randn(int(buckets.max()) + 1, _TEXT_WIDTH, generator=draw)
    projection[PADDING] = 0
    rows = functional.embedding_bag(buckets.long(), projection, mode="sum")
    counts = (buckets != PADDING).sum(dim=1, keepdim=True).clamp(min=1)
    # By the expected norm, because the norm of a projection varies.
    return Sketch(rows / (counts * _TEXT_WIDTH).sqrt(), _TEXTS)


def sketch_columns(rows: Tensor) -> Sketch:
    """Returns sketches of samples that are rows of numbers, ``[n, d]``."""
    rows = rows.float()
    spread = rows.std(dim=0).clamp(min=1e-12)
    return Sketch((rows - rows.mean(dim=0)) / spread, _COLUMN * rows.shape[1])


def earlier_ones(
    sketch: Sketch, *, advance: Callable[[int], None] = lambda _: None, at_once: int = 512
) -> list[int | None]:
    """Returns for each row the first earlier row that is close to it; None if there is none.

    Takes ``n^2 d`` multiplications: seconds for 20,000 rows of 512.

    Args:
        sketch: Sketches of ``n`` samples.
        advance: Is called with the number of rows done.
        at_once: Rows that are compared at once.
    """
    rows = sketch.rows
    squares = (rows * rows).sum(dim=1)
    found: list[int | None] = []
    for start in range(0, len(rows), at_once):
        end = min(start + at_once, len(rows))
        block = torch.addmm(squares[:end][None], rows[start:end], rows[:end].T, alpha=-2)
        is_close = block + squares[start:end, None] <= sketch.closest
        is_close &= torch.arange(end) < torch.arange(start, end)[:, None]
        first = is_close.int().argmax(dim=1)
        found += [
            int(other) if has else None
            for other, has in zip(first.tolist(), is_close.any(dim=1).tolist(), strict=True)
        ]
        advance(end - start)
    return found
