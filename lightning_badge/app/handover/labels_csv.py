"""The labels of a run as a CSV file that spreadsheets open and ``data.labels`` reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning_badge.app.handover.run_data import RunData
from lightning_badge.csv_file import write_rows
from lightning_badge.labels import Label, Skip, Undo, label_text
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
        write_rows(file, [COLUMNS, *rows])
    return len(rows)


def label_rows(run: RunData) -> Iterator[tuple[SampleId, Any, str, str]]:
    """Yields the rows of the file."""
    for sample_id, label in run.datamodule.labels_dict().items():
        if sample_id not in run.answers:
            yield sample_id, _cell(label, run), "", ""
    for sample_id, answer in run.answers.items():
        if not isinstance(answer.label, Skip | Undo):
            at = answer.received_at.isoformat()
            yield sample_id, _cell(answer.label, run), answer.annotator, at


def _cell(label: Label, run: RunData) -> Any:
    """Returns a label as people write it; one that is a number stays a number."""
    text = label_text(label, run.class_names)
    return label if isinstance(label, int | float) and text == json.dumps(label) else text
