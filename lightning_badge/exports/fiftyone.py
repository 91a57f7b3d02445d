"""FiftyOne's CSV data set (https://docs.voxel51.com/user_guide/import_datasets.html).

Load it with ``Dataset.from_dir(dataset_type=CSVDataset, labels_path=FILE, fields=TYPES)``, where
``TYPES`` is ``{"badge_rank": fo.IntField(), "badge_gain": fo.FloatField()}``, and sort the view by
``badge_rank``. ``filepath`` is the sample id unless a field template says otherwise.
"""

from collections.abc import Iterator
from pathlib import Path

from lightning_badge.exports.export import Export, Row, write_csv

COLUMNS = {
    "sample_id": "sample_id",
    "badge_rank": "rank",
    "badge_gain": "gain",
    "badge_hallucinated_label": "hallucinated_label",
    "badge_confidence": "confidence",
}


def write(rows: Iterator[Row], field_names: list[str], path: Path) -> None:
    """Writes the fields of each sample, ``filepath`` among them, and the columns above."""
    write_csv(rows, field_names, COLUMNS, path, escape=False)


EXPORT = Export("fiftyone", ".csv", write, fields={"filepath": "{sample_id}"})
