"""Prodigy tasks (https://prodi.gy/docs/api-loaders): JSON Lines, shown in the order of the file.

Each task needs a field that Prodigy shows, such as ``text``, ``image`` or ``html``. Without any,
the text is the field ``row``, or the sample id. ``sample_id`` stays with the annotations that
``db-out`` writes; ``meta`` is shown below the task. Recipes that choose among the tasks, such as by
uncertainty, ignore the order.
"""

from collections.abc import Iterator
from pathlib import Path

from lightning_badge.exports.export import Export, Row, write_json_lines

SHOWN = {"text", "image", "html", "audio", "video"}


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes one task a line, best first."""
    write_json_lines(map(_task, rows), path)


def _task(row: Row) -> Row:
    shown = row["fields"]
    if not shown.keys() & SHOWN:
        shown = {"text": str(shown.get("row", row["sample_id"])), **shown}
    meta = {"rank": row["rank"], "gain": row["gain"], "confidence": row["confidence"]}
    known = {name: value for name, value in meta.items() if value is not None}
    return {**shown, "sample_id": row["sample_id"], "meta": known}


EXPORT = Export("prodigy", ".jsonl", write)
