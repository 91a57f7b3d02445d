"""Label Studio tasks (https://labelstud.io/guide/predictions): import the file into a project.

Each task carries ``badge_rank``, ``badge_gain`` and ``sample_id`` to sort and filter by, and an
empty prediction whose score is the rank. A project whose task sampling is "Uncertainty sampling"
asks for the lowest score first, so that labelers meet the samples in the order of the ranks.
"""

from collections.abc import Iterator
from pathlib import Path

from lightning_badge.exports.export import Export, Row, write_json_list

MODEL_VERSION = "badge"


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes a JSON list of tasks, one a line."""
    write_json_list(map(_task, rows), path)


def _task(row: Row) -> Row:
    data = {"sample_id": row["sample_id"], "badge_rank": row["rank"], "badge_gain": row["gain"]}
    prediction = {"model_version": MODEL_VERSION, "score": row["rank"], "result": []}
    return {"data": {**data, **row["fields"]}, "predictions": [prediction]}


EXPORT = Export("label-studio", ".json", write)
