"""Pictures for browsers: bytes that Pillow identifies as an image, and nothing else."""

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

# Formats with decoders that run no other program.
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
_AS_THEY_ARE = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}
_LARGEST_FILE = 100 * 2**20
_LARGEST_AS_IT_IS = 2 * 2**20
_MOST_PIXELS = 200_000_000
SIDE, FULL_SIDE = 2048, 8192
_QUALITY = 90


class PictureError(Exception):
    """A sample that cannot be shown as a picture."""


@dataclass(frozen=True)
class Picture:
    """A picture as a browser gets it."""

    content: bytes
    media_type: str


def picture_of(source: bytes | Path, *, full: bool = False) -> Picture:
    """Returns a picture: unchanged if a browser can show it and it is small, else scaled.

    Args:
        source: The bytes of an image, or the path of its file.
        full: Whether sides up to 8192 pixels are kept, instead of up to 2048.

    Raises:
        PictureError: No image, one of another format, or one that is too large.
    """
    from PIL import Image

    content = source if isinstance(source, bytes) else _read(source)
    side = FULL_SIDE if full else SIDE
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise PictureError(
                    f"expected at most {_MOST_PIXELS} pixels, got {image.width} x {image.height}"
                )
            media_type = _AS_THEY_ARE.get(image.format or "")
            is_small = full or len(content) <= _LARGEST_AS_IT_IS
            if media_type and is_small and max(image.size) <= side:
                return Picture(content, media_type)
            return _scaled(image, side)
    except PictureError:
        raise
    # Pillow's decoders raise these for damaged files.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"no image that can be shown: {error}") from error


def _read(path: Path) -> bytes:
    """Returns the contents of a regular file; a pipe or a device would never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PictureError("expected a file")
            if status.st_size > _LARGEST_FILE:
                raise PictureError(f"expected a file of at most {_LARGEST_FILE} bytes")
            return file.read(_LARGEST_FILE)
    except (OSError, ValueError) as error:
        raise PictureError(f"the file cannot be read: {type(error).__name__}") from error


def _scaled(image: "Image.Image", side: int) -> Picture:
    from PIL import ImageOps

    image.draft("RGB", (side, side))
    shown = ImageOps.exif_transpose(image)
    has_alpha = "A" in shown.getbands() or "transparency" in shown.info
    shown = shown.convert("RGBA" if has_alpha else "RGB")
    shown.thumbnail((side, side))
    file = io.BytesIO()
    if has_alpha:
        shown.save(file, "PNG")
        return Picture(file.getvalue(), "image/png")
    shown.save(file, "JPEG", quality=_QUALITY)
    return Picture(file.getvalue(), "image/jpeg")
