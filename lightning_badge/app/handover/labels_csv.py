"""The labels of a run as a CSV file that spreadsheets open and ``data.labels`` reads."""

import csv
from collections.abc import Iterator
from pathlib import Path

from lightning_badge.app.handover.run_data import RunData
from lightning_badge.labels import Skip, Undo, label_text
from lightning_badge.sample_ids import SampleId

COLUMNS = ("sample_id", "label", "annotator", "when")


def write_labels(run: RunData, path: Path) -> int:
    """Writes all labels in force: the initial ones first, then those of annotators by time.

    Initial labels have no annotator and no time. A skipped sample has no label, so it is not
    written.

    Returns:
        The number of labels.
    """
    rows = list(label_rows(run))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return len(rows)


def label_rows(run: RunData) -> Iterator[tuple[SampleId, str, str, str]]:
    """Yields the rows of the file."""
    for sample_id, label in run.datamodule.labels_dict().items():
        if sample_id not in run.answers:
            yield sample_id, label_text(label, run.class_names), "", ""
    for sample_id, answer in run.answers.items():
        if not isinstance(answer.label, Skip | Undo):
            text = label_text(answer.label, run.class_names)
            yield sample_id, text, answer.annotator, answer.received_at.isoformat()
