"""Images of a folder: found, decoded, turned upright and resized."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities import rank_zero_warn
from torch import Tensor

from lightning_badge.datamodule.folder.samples import Inputs, Samples
from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import reason_of
from lightning_badge.progress import progress_bar
from lightning_badge.sample_ids import as_sample_ids

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# A run reads the pool in every round, so decoded pixels are kept in memory up to this size.
_IN_MEMORY_BYTES = 2**30


def image_files(folder: Path) -> list[Path]:
    """Returns the image files below a folder, sorted; hidden files and folders are skipped."""
    files = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    visible = (
        path
        for path in files
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    return sorted(path for path in visible if path.is_file())


def read_images(
    folder: Path, *, image_size: int = 64, files: Sequence[Path] | None = None
) -> Samples:
    """Reads the images below a folder.

    Each image is turned as its EXIF orientation says, converted to RGB, and resized to a square;
    the ratio of its sides is not kept. Sample ids are paths relative to the folder, with ``/``.

    Args:
        folder: The folder.
        image_size: Side length in pixels.
        files: The files below it to read; None for all.

    Returns:
        Samples with uint8 inputs ``[n, 3, image_size, image_size]``. Images that cannot be decoded
        are in ``left_out``.

    Raises:
        BadgeError: No image, or none that can be decoded; Pillow is not installed.
    """
    if isinstance(image_size, bool) or not isinstance(image_size, int) or image_size < 8:
        raise BadgeError(f"image_size: expected 8 or more pixels, got {image_size!r}")
    _check_pillow()
    files = image_files(folder) if files is None else files
    if not files:
        raise BadgeError(f"{folder}: expected images ({', '.join(SUFFIXES)}), found none")
    pixel_bytes = 3 * image_size**2
    kept: list[Path] = []
    decoded: list[npt.NDArray[np.uint8]] = []
    left_out: dict[str, str] = {}
    is_in_memory = len(files) * pixel_bytes <= _IN_MEMORY_BYTES
    with progress_bar("Decoding images", len(files)) as advance:
        for path in files:
            name = path.relative_to(folder).as_posix()
            try:
                as_sample_ids([name])
                pixels = decode(path, image_size)
            except Exception as error:  # decoders raise errors of any kind
                left_out[name] = reason_of(error)
            else:
                kept.append(path)
                if is_in_memory:
                    decoded.append(pixels)
            advance(1)
    if not kept:
        raise BadgeError(
            f"{folder}: expected images that can be decoded, but none of {len(files)} can: "
            f"{next(iter(left_out.values()))}"
        )
    inputs: Inputs = (
        torch.from_numpy(np.stack(decoded)) if is_in_memory else EncodedImages(kept, image_size)
    )
    names = [path.relative_to(folder).as_posix() for path in kept]
    return Samples("images", names, inputs, left_out, shown=list(map(str, kept)))


def decode(path: Path, image_size: int) -> npt.NDArray[np.uint8]:
    """Returns the pixels of an image file, ``[3, image_size, image_size]``."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        # Large JPEG files are decoded at a fraction of their size, no smaller than twice the goal.
        image.draft("RGB", (2 * image_size, 2 * image_size))
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        square = upright.convert("RGB").resize((image_size, image_size))
    pixels: npt.NDArray[np.uint8] = np.asarray(square).transpose(2, 0, 1)
    return pixels


@dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images that are decoded on each access, for folders too large for memory.

    A gray square stands for an image that vanished, so that it stops no training.
    """

    paths: Sequence[Path]
    image_size: int

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, positions: list[int]) -> Tensor:
        return torch.from_numpy(np.stack([self._decode(self.paths[at]) for at in positions]))

    def _decode(self, path: Path) -> npt.NDArray[np.uint8]:
        try:
            return decode(path, self.image_size)
        except Exception as error:
            rank_zero_warn(f"{path}: {reason_of(error)}; a gray square stands for it")
            return np.full((3, self.image_size, self.image_size), 128, dtype=np.uint8)


def _check_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise BadgeError(
            'images need Pillow, which is not installed; pip install "lightning-badge[examples]"'
        ) from error
