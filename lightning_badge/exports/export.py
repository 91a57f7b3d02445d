"""What a format of another tool is, and the one function that writes any of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from string import Formatter
from typing import Any

import lightning_badge.exports as package
from lightning_badge.csv_file import write_rows
from lightning_badge.durable.file import replacing
from lightning_badge.durable.leftovers import sweep
from lightning_badge.exceptions import ArtifactError
from lightning_badge.found_by_file import found_by_file
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import ordering_table

Row = dict[str, Any]


@dataclass(frozen=True)
class Export:
    """A format of another tool.

    Attributes:
        name: What `--to` calls it.
        suffix: Of its files; empty for a folder.
        fields: Fields that samples have by default, as templates over ``{sample_id}``.
        write: Writes rows to a path, given the names of the samples' own fields. A row holds the
            columns of the ordering file, None where a value is unknown, and under ``fields`` the
            sample's own fields.
    """

    name: str
    suffix: str
    write: Callable[[Iterator[Row], list[str], Path], None]
    fields: Mapping[str, str] = field(default_factory=dict)


def write_json_list(records: Iterable[Row], path: Path) -> None:
    """Writes a JSON list, one record a line; the file is complete or not there."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, record in enumerate(records):
            file.write(",\n" if number else "\n")
            json.dump(record, file, ensure_ascii=False)
        file.write("\n]\n")


def write_json_lines(records: Iterable[Row], path: Path) -> None:
    """Writes one JSON object a line; the file is complete or not there."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


@cache
def exports() -> dict[str, Export]:
    """Returns all formats by name: the ``EXPORT`` of each module of this folder."""
    return found_by_file(package, "EXPORT", Export)


def export_names() -> list[str]:
    """Returns what ``to`` may be."""
    return sorted(exports())


def export_ordering(
    ordering: Ordering,
    path: str | os.PathLike[str],
    to: str,
    *,
    fields: Mapping[str, str] | None = None,
) -> Path:
    """Writes an ordering in the format of another tool, with the rank as a number to sort by.

    Args:
        ordering: What to write.
        path: The file; for ``lightly`` a folder that does not exist yet.
        to: A format: ``csv``, ``jsonl``, ``label-studio``, ``argilla``, ``prodigy``, ``fiftyone``
            or ``lightly``.
        fields: Further fields of each sample, as templates over its id, such as
            ``{"image": "https://example.org/{sample_id}"}``.

    Returns:
        The path.

    Raises:
        ArtifactError: An unknown format, a template with other placeholders, or a folder that
            exists.
    """
    if to not in exports():
        raise ArtifactError(f"to: expected one of {', '.join(export_names())}, got {to!r}")
    export, path = exports()[to], Path(path)
    fields = {**export.fields, **(fields or {})}
    for name, template in fields.items():
        _check_template(name, template)
    sweep(path.parent, path.name.__eq__)
    export.write(_rows(ordering, fields), list(fields), path)
    return path


def write_csv(
    rows: Iterator[Row],
    field_names: list[str],
    columns: Mapping[str, str],
    path: Path,
    *,
    escape: bool,
) -> None:
    """Writes CSV: fields of the samples, then columns of the ordering, ``{header: name}``.

    ``escape`` says whether people open the file, as in `csv_file.write_rows`.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        cells = (
            [*row["fields"].values(), *(row[name] for name in columns.values())] for row in rows
        )
        write_rows(file, chain([[*field_names, *columns]], cells), escape=escape)


def _rows(ordering: Ordering, fields: Mapping[str, str]) -> Iterator[Row]:
    for batch in ordering_table(ordering).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            sample_id = row["sample_id"]
            own = {name: text.format(sample_id=sample_id) for name, text in fields.items()}
            yield {**row, "fields": own}


def _check_template(name: str, template: str) -> None:
    try:
        placeholders = {key for _, key, _, _ in Formatter().parse(template) if key is not None}
    except ValueError as error:
        raise ArtifactError(f"field {name}: {template!r} is no template: {error}") from error
    if placeholders - {"sample_id"}:
        raise ArtifactError(
            f"field {name}: expected no placeholder but {{sample_id}}, got {template!r}"
        )
