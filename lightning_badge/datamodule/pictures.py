"""Pictures of samples whose input is an image tensor."""

import io
from typing import Any

import torch
from torch import Tensor


def input_of(item: Any) -> Any:
    """Returns the input of a data set's item, its first entry; None if it has no entries."""
    return item[0] if isinstance(item, tuple | list) and item else None


def is_image(pixels: Any) -> bool:
    """Returns whether an input is an image tensor, ``[1 or 3, height, width]``."""
    return isinstance(pixels, Tensor) and pixels.ndim == 3 and pixels.shape[0] in (1, 3)


def picture_of(pixels: Tensor) -> Any:
    """Returns an image tensor as a Pillow image.

    Args:
        pixels: As `is_image` says: uint8, or floats in 0..1; others, as after a normalization, are
            rescaled.

    Raises:
        ImportError: Pillow is not installed.
    """
    from PIL import Image

    if pixels.dtype != torch.uint8:
        pixels = pixels.float()
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 1:
            pixels = (pixels - low) / max(high - low, 1e-12)
        pixels = (pixels * 255).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).expand(-1, -1, 3).contiguous().numpy())


def encoded(image: Any, format: str) -> bytes:
    """Returns a Pillow image as the bytes of a ``PNG`` or ``JPEG`` file."""
    file = io.BytesIO()
    image.save(file, format, quality=80)
    return file.getvalue()
