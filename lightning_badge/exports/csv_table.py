"""CSV: one line a sample, for spreadsheets and for tools that read nothing else."""

from collections.abc import Iterator
from pathlib import Path

from lightning_badge.exports.export import Export, Row, write_csv

COLUMNS = ("rank", "sample_id", "gain", "hallucinated_label", "confidence", "coverage")


def write(rows: Iterator[Row], field_names: list[str], path: Path) -> None:
    """Writes the fields of each sample and the columns of the ordering file."""
    write_csv(rows, field_names, {name: name for name in COLUMNS}, path, escape=True)


EXPORT = Export("csv", ".csv", write)
