"""What kind of samples a path holds."""

from collections.abc import Mapping
from pathlib import Path

from lightning_badge.datamodule.folder.images import read_images
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.exceptions import BadgeError


def find_samples(
    path: Path,
    *,
    kind: str,
    image_size: int,
    columns: Mapping[str, str | None],  # noqa: ARG001
    not_data: Path | None,  # noqa: ARG001
) -> Samples:
    """Reads the samples of a folder.

    Raises:
        BadgeError: Nothing there.
    """
    if kind not in ("auto", "images"):
        raise BadgeError(f"kind: expected auto or images, got {kind!r}")
    if not path.is_dir():
        raise BadgeError(f"{path}: expected a folder of images")
    return read_images(path, image_size=image_size)
