"""Tells what kind of samples a path holds, and reads them."""

from collections.abc import Collection, Mapping
from pathlib import Path

from lightning_badge.datamodule.folder.images import image_files, read_images
from lightning_badge.datamodule.folder.rows import read_rows, row_file
from lightning_badge.datamodule.folder.samples import KINDS, Samples
from lightning_badge.datamodule.folder.tables import table_of
from lightning_badge.datamodule.folder.texts import text_column, texts_of
from lightning_badge.exceptions import BadgeError


def find_samples(
    path: Path,
    *,
    kind: str,
    image_size: int,
    columns: Mapping[str, str | None],
    not_data: Collection[Path] = (),
) -> Samples:
    """Reads the samples of a folder or a file.

    Args:
        path: A folder of images, a folder with one file of rows, or such a file.
        kind: One of `KINDS`, or ``auto``: images if the folder has some, texts if the file has a
            column of texts, else a table.
        image_size: Side length in pixels that images are resized to.
        columns: Names of the columns ``text``, ``id`` and ``label``; None where not named.
        not_data: Files in the folder that are not data, such as that of the labels.

    Raises:
        BadgeError: An unknown kind, nothing that can be read, or a column that is missing.
    """
    if kind not in ("auto", *KINDS):
        raise BadgeError(f"kind: expected auto, {', '.join(KINDS)}, got {kind!r}")
    if kind == "images" and not path.is_dir():
        raise BadgeError(f"{path}: expected a folder of images; check data.path")
    if kind == "images" or (kind == "auto" and path.is_dir() and image_files(path)):
        return read_images(path, image_size=image_size)
    file = row_file(path, not_data)
    rows = read_rows(file, columns)
    if kind == "auto":
        kind = "texts" if columns.get("text") or text_column(rows) else "tables"
    return texts_of(file, rows, columns.get("text")) if kind == "texts" else table_of(file, rows)
