"""Rows of an answer file: CSV with the columns sample_id and label."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lightning_badge.csv_file import as_text, read_csv
from lightning_badge.datamodule.folder.known_labels import SEPARATOR, encode
from lightning_badge.exceptions import LabelError
from lightning_badge.file_limits import printable
from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.class_list import ClassList

ANNOTATOR = "files"  # of rows that name none
_DIGITS = 18  # Python refuses to read integers of thousands of digits
_STATUS = ("label", "skip", "undo")


@dataclass(frozen=True)
class Row:
    """A row of an answer file, as text; sample and label may have blanks around them."""

    line: int
    sample_id: str
    label: str
    annotator: str
    seconds: str
    status: str


def read_rows(path: Path) -> list[Row]:
    """Returns the rows of an answer file that answer something.

    The delimiter is a comma, a semicolon or a tab; a byte order mark and any line ends are fine.
    Other columns are ignored, and so are rows with neither a label nor a status.

    Raises:
        BadgeError: The file cannot be read, or a column is missing.
    """
    rows = []
    for line, read in read_csv(path):
        values = {name.strip().lower(): as_text(cell) for name, cell in read.items()}
        if not {"sample_id", "label"} <= values.keys():
            raise LabelError(
                f"{path}: expected the columns sample_id and label, got "
                f"{printable(', '.join(values))}"
            )
        annotator, seconds, status = (
            values.get(name, "").strip() for name in ("annotator", "seconds", "status")
        )
        if values["label"].strip() or status:
            sample_id, label = values["sample_id"], values["label"]
            rows.append(
                Row(line, sample_id, label, annotator or ANNOTATOR, seconds, status.lower())
            )
    return rows


def sample_of(row: Row, ids_by_name: Mapping[str, SampleId]) -> SampleId:
    """Returns the sample id that a row names.

    Raises:
        LabelError: There is no such sample.
    """
    name = row.sample_id if row.sample_id in ids_by_name else row.sample_id.strip()
    if name not in ids_by_name:
        raise LabelError(f"sample {printable(name)!r} is not in the data; copy it from query.csv")
    return ids_by_name[name]


def label_of(row: Row, classes: ClassList) -> Label | Skip | Undo:
    """Returns what a row answers: a label by the name or the number of its class, skip or undo.

    Raises:
        LabelError: An unknown status or class.
    """
    if row.status not in ("", *_STATUS):
        raise LabelError(f"status: expected one of {', '.join(_STATUS)}, got {row.status!r}")
    if row.status in ("skip", "undo"):
        return SKIP if row.status == "skip" else UNDO
    label, names = row.label.strip(), classes.names()
    if not label:
        raise LabelError("label: expected a class, got none; status skip passes a sample over")
    if names is None:
        return _number(label)
    if classes.multilabel:
        return _several(label, names, classes)
    if row.label in names:
        return names.index(row.label)
    if label not in names and (number := _class_number(label, len(names))) is not None:
        return number
    return classes.number(label)


def seconds_of(row: Row) -> float | None:
    """Returns the seconds that an answer took; None if the row does not say.

    Raises:
        LabelError: Not a number of at least 0.
    """
    if not row.seconds:
        return None
    try:
        seconds = float(row.seconds.replace(",", "."))
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise LabelError(f"seconds: expected a number of at least 0, got {row.seconds!r}")
    return seconds


def _several(text: str, names: tuple[str, ...], classes: ClassList) -> Label:
    for name in filter(None, map(str.strip, text.split(SEPARATOR))):
        if name != "none":
            classes.number(name)
    return encode(text, names, multilabel=True)


def _class_number(text: str, count: int) -> int | None:
    is_one = text.isdecimal() and len(text) <= _DIGITS and int(text) < count
    return int(text) if is_one else None


def _number(text: str) -> Label:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
