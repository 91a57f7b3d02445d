"""Label Studio tasks (https://labelstud.io/guide/predictions): import the file into a project.

Each task carries ``badge_rank``, ``badge_gain`` and ``sample_id`` to sort and filter by, and an
empty prediction whose score is the rank. A project whose task sampling is "Uncertainty sampling"
asks for the lowest score first, so that labelers meet the samples in the order of the ranks.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from lightning_badge.durable.file import replacing
from lightning_badge.exports.export import Export, Row

MODEL_VERSION = "badge"


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes a JSON list of tasks, one a line."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, row in enumerate(rows):
            file.write(",\n" if number else "\n")
            json.dump(_task(row), file, ensure_ascii=False)
        file.write("\n]\n")


def _task(row: Row) -> Row:
    data = {"sample_id": row["sample_id"], "badge_rank": row["rank"], "badge_gain": row["gain"]}
    prediction = {"model_version": MODEL_VERSION, "score": row["rank"], "result": []}
    return {"data": {**data, **row["fields"]}, "predictions": [prediction]}


EXPORT = Export("label-studio", ".json", write)
