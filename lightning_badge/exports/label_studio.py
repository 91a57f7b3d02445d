"""Label Studio tasks (https://labelstud.io/guide/predictions): import the file into a project.

Each task carries ``badge_rank``, ``badge_gain`` and ``sample_id`` to sort and filter by, and an
empty prediction whose score is the rank in steps of 1e-7. A project whose task sampling is
"Uncertainty sampling" asks for the lowest score first, so that labelers meet the samples in the
order of the ranks.
"""

from collections.abc import Iterator
from pathlib import Path

from lightning_badge.exports.export import Export, Row, write_json_list

MODEL_VERSION = "badge"
_UNIT = 1e-7  # of a rank: Label Studio takes scores in [0, 1] alone


def as_score(place: float) -> float:
    """Returns a place in the order, such as a rank, as a score in [0, 1].

    The order is kept for less than ten million ranks.

    Example:
        >>> as_score(-0.5) < as_score(0) < as_score(1), as_score(9e9)
        (True, 1.0)
    """
    return min(max((place + 1) * _UNIT, 0.0), 1.0)


def write(rows: Iterator[Row], _names: list[str], path: Path) -> None:
    """Writes a JSON list of tasks, one a line."""
    write_json_list(map(_task, rows), path)


def _task(row: Row) -> Row:
    data = {"sample_id": row["sample_id"], "badge_rank": row["rank"], "badge_gain": row["gain"]}
    prediction = {"model_version": MODEL_VERSION, "score": as_score(row["rank"]), "result": []}
    return {"data": {**data, **row["fields"]}, "predictions": [prediction]}


EXPORT = Export("label-studio", ".json", write)
