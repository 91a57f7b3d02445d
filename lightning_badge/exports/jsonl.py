"""JSON Lines: one object a sample, best first."""

import json
from collections.abc import Iterator
from pathlib import Path

from lightning_badge.durable.file import replacing
from lightning_badge.exports.export import Export, Row


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes the columns of the ordering file and the fields of the sample as one object a line."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        for row in rows:
            fields = row.pop("fields")
            file.write(json.dumps({**row, **fields}, ensure_ascii=False) + "\n")


EXPORT = Export("jsonl", ".jsonl", write)
