"""Tells what kind of samples a path holds, and reads them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lightning_badge.datamodule.folder.images import image_files, read_images
from lightning_badge.datamodule.folder.rows import Rows, read_rows, row_file
from lightning_badge.datamodule.folder.samples import KINDS, Samples
from lightning_badge.datamodule.folder.tables import table_of
from lightning_badge.datamodule.folder.texts import text_column, texts_of
from lightning_badge.exceptions import BadgeError
from lightning_badge.sample_ids import SampleId


@dataclass(frozen=True)
class SampleSource:
    """A folder or a file with samples.

    Attributes:
        path: A folder of images, a folder with one file of rows, or such a file.
        kind: One of `KINDS`, or ``auto``: images if the folder has some, texts if the file has a
            column of texts, else a table.
        image_size: Side length in pixels that images are resized to.
        columns: Names of the columns ``text``, ``id`` and ``label``; None where not named.
        not_data: Files in the folder that are not data, such as that of the labels.
    """

    path: Path
    kind: str = "auto"
    image_size: int = 64
    columns: Mapping[str, str | None] = field(default_factory=dict)
    not_data: Collection[Path] = ()

    def read(self, only: Collection[SampleId] | None = None) -> Samples:
        """Reads the samples.

        Args:
            only: Ids of those to read, as far as they are there; None for all.

        Raises:
            BadgeError: An unknown kind, nothing that can be read, or a column that is missing.
        """
        path, kind = self.path, self.kind
        if kind not in ("auto", *KINDS):
            raise BadgeError(f"kind: expected auto, {', '.join(KINDS)}, got {kind!r}")
        if kind == "images" and not path.is_dir():
            raise BadgeError(f"{path}: expected a folder of images; check data.path")
        if kind == "images" or (kind == "auto" and path.is_dir() and image_files(path)):
            return self.read_images(None if only is None else self._files(only))
        rows = self.read_rows()
        rows = rows if only is None else rows.where(set(only).__contains__)
        if kind == "auto":
            kind = "texts" if self.columns.get("text") or text_column(rows) else "tables"
        file = self.row_file()
        named = self.columns.get("text")
        return texts_of(file, rows, named) if kind == "texts" else table_of(file, rows)

    def read_images(self, files: list[Path] | None = None) -> Samples:
        """Reads images below the folder, by default all."""
        return read_images(self.path, image_size=self.image_size, files=files)

    def row_file(self) -> Path:
        """Returns the file of the rows."""
        return row_file(self.path, self.not_data)

    def read_rows(self) -> Rows:
        """Reads the rows of the file."""
        return read_rows(self.row_file(), self.columns)

    def more(self, rows: Rows, like: Samples) -> Samples:
        """Returns rows as samples like others that were read before."""
        file = self.row_file()
        if like.kind == "texts":
            return texts_of(file, rows, like.text_column)
        return table_of(file, rows, like.rules)

    def _files(self, only: Collection[SampleId]) -> list[Path]:
        wanted = set(only)
        return [
            path
            for path in image_files(self.path)
            if path.relative_to(self.path).as_posix() in wanted
        ]
