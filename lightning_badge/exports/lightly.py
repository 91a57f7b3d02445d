"""LightlyOne metadata (https://docs.lightly.ai/docs/work-with-metadata).

The folder goes to ``.lightly/metadata`` of a Lightly datasource. It holds ``schema.json`` and one
file for each image, at the image's own path with the suffix ``.json``. ``file_name`` is the sample
id unless a field template says otherwise, relative to the input datasource.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lightning_badge.durable.file import temporary_name
from lightning_badge.exceptions import ArtifactError
from lightning_badge.exports.export import Export, Row

SCHEMA = [
    {
        "name": "BADGE rank",
        "path": "badge_rank",
        "defaultValue": -1,
        "valueDataType": "NUMERIC_INT",
    },
    {
        "name": "BADGE gain",
        "path": "badge_gain",
        "defaultValue": 0.0,
        "valueDataType": "NUMERIC_FLOAT",
    },
]


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes a folder, whole or not at all.

    Raises:
        ArtifactError: The folder exists, a file name leaves it, or two samples share one.
    """
    if path.exists():
        raise ArtifactError(f"{path}: expected a folder that does not exist yet; remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(path, "tmp")
    temporary.mkdir()
    try:
        (temporary / "schema.json").write_text(json.dumps(SCHEMA, indent=2), encoding="utf-8")
        for row in rows:
            _write_row(row, temporary)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_row(row: Row, folder: Path) -> None:
    name = str(row["fields"]["file_name"])
    relative = PurePosixPath(name).with_suffix(".json")
    file = folder / relative
    if relative.is_absolute() or ".." in relative.parts:
        raise ArtifactError(f"file_name: expected a path relative to the datasource, got {name!r}")
    if file.exists():
        raise ArtifactError(
            f"file_name {name!r}: {relative} is taken by another sample; Lightly tells files "
            "apart by their path without suffix"
        )
    file.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"badge_rank": row["rank"], "badge_gain": row["gain"]}
    content = {"file_name": name, "type": "image", "metadata": metadata}
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


EXPORT = Export("lightly", "", write, fields={"file_name": "{sample_id}"})
