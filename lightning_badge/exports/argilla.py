"""Argilla records (https://docs.argilla.io/latest/reference/argilla/records/records/).

``dataset.records.from_json(FILE)`` of Argilla 2 adds or updates them by their id, the sample id.
The dataset needs a field for each field of the file (``text`` if none is given, the sample id), and
the metadata properties ``IntegerMetadataProperty("badge_rank")``, to sort by, and
``FloatMetadataProperty("badge_gain")`` and ``FloatMetadataProperty("badge_confidence")``.
"""

from collections.abc import Iterator
from pathlib import Path

from lightning_badge.exports.export import Export, Row, write_json_list


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes a JSON list of records, one a line, best first."""
    write_json_list(map(_record, rows), path)


def _record(row: Row) -> Row:
    names = ("rank", "gain", "confidence")
    return {
        "id": str(row["sample_id"]),
        "fields": row["fields"] or {"text": str(row["sample_id"])},
        "metadata": {f"badge_{name}": row[name] for name in names if row[name] is not None},
        "suggestions": {},
        "responses": {},
        "vectors": {},
    }


EXPORT = Export("argilla", ".json", write)
