"""JSON Lines: one object a sample, best first."""

from collections.abc import Iterator
from pathlib import Path

from lightning_badge.exports.export import Export, Row, write_json_lines


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes the columns of the ordering file and the fields of the sample as one object a line."""
    write_json_lines(map(_record, rows), path)


def _record(row: Row) -> Row:
    fields = row.pop("fields")
    return {**row, **fields}


EXPORT = Export("jsonl", ".jsonl", write)
