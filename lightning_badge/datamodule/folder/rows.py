"""Rows of a CSV, JSON Lines or Parquet file, as columns."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning_badge.csv_file import as_text, read_csv
from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import one_line, printable, read_text, reason_of
from lightning_badge.sample_ids import SampleId

SUFFIXES = (".csv", ".jsonl", ".parquet")
_ID_COLUMNS = ("sample_id", "id")
_LABEL_COLUMN = "label"


@dataclass(frozen=True)
class Rows:
    """The rows of a file.

    Attributes:
        columns: Values of each column but ids and labels, ``[n]``; None where there is no value.
        sample_ids: Ids, ``[n]``.
        labels: Labels in the file, as text.
        left_out: Reason why a row cannot be read, by its name.
        notes: Lines that say which columns were chosen.
    """

    columns: dict[str, list[Any]]
    sample_ids: list[SampleId]
    labels: dict[SampleId, str]
    left_out: dict[str, str]
    notes: list[str]

    def where(self, is_wanted: Callable[[SampleId], bool]) -> "Rows":
        """Returns the rows whose ids are wanted."""
        kept = [row for row, sample_id in enumerate(self.sample_ids) if is_wanted(sample_id)]
        ids = [self.sample_ids[row] for row in kept]
        return replace(
            self,
            columns={name: [values[row] for row in kept] for name, values in self.columns.items()},
            sample_ids=ids,
            labels={key: self.labels[key] for key in ids if key in self.labels},
        )


def row_file(path: Path, not_data: Collection[Path] = ()) -> Path:
    """Returns the file with the rows: the path itself, or the folder's only one or its ``train``.

    Args:
        path: A file or a folder.
        not_data: Files that are not data, such as that of the labels.

    Raises:
        BadgeError: No such file, or several.
    """
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            return path
        raise BadgeError(f"{path}: expected one of {', '.join(SUFFIXES)}, got {path.suffix!r}")
    if not path.is_dir():
        raise BadgeError(f"{path}: expected a folder or a file, found neither; check data.path")
    excluded = [file.resolve() for file in not_data]
    files = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and file.resolve() not in excluded
    )
    if len(files) > 1 and len(train := [file for file in files if file.stem == "train"]) == 1:
        files = train
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise BadgeError(
            f"{path}: expected images, or one file with rows ({', '.join(SUFFIXES)}), found "
            f"{names}; set data.path to one file"
        )
    return files[0]


def read_rows(file: Path, columns: Mapping[str, str | None]) -> Rows:
    """Reads a file of rows.

    Args:
        file: The file.
        columns: Names of the columns of ``id`` and ``label``; None where not named.

    Raises:
        BadgeError: The file cannot be read or is empty; a named column is missing; ids repeat.
    """
    read = {".csv": _read_csv, ".jsonl": _read_jsonl, ".parquet": _read_parquet}
    table, lines, left_out = read[file.suffix.lower()](file)
    if not lines:
        raise BadgeError(f"{file}: expected rows, found none")
    for role, name in columns.items():
        if name is not None and name not in table:
            raise BadgeError(
                f"{file}: {role}_column={name!r} is not a column; there are "
                f"{printable(', '.join(table))}"
            )
    if file.suffix.lower() == ".csv":
        for name in {*_ID_COLUMNS, _LABEL_COLUMN, columns.get("id"), columns.get("label")}:
            if name in table:
                table[name] = [cell and as_text(cell) for cell in table[name]]
    notes: list[str] = []
    sample_ids = _take_ids(file, table, lines, columns.get("id"), notes)
    label_column = columns.get("label") or (_LABEL_COLUMN if _LABEL_COLUMN in table else None)
    labels: dict[SampleId, str] = {}
    if label_column is not None:
        values = table.pop(label_column)
        notes.append(f"labels are in column {label_column!r}")
        labels = {
            sample_id: str(value).strip()
            for sample_id, value in zip(sample_ids, values, strict=True)
            if value is not None and str(value).strip()
        }
    return Rows(table, sample_ids, labels, left_out, notes)


def _take_ids(
    file: Path,
    table: dict[str, list[Any]],
    lines: list[int],
    named: str | None,
    notes: list[str],
) -> list[SampleId]:
    """Removes the column of the ids from a table and returns it, or row numbers."""
    name = named or next((name for name in _ID_COLUMNS if name in table), None)
    if name is None:
        return list(lines)
    values = table[name]
    ids = [value if isinstance(value, int) else str(value).strip() for value in values]
    if None not in values and len(set(ids)) == len(ids) and len({type(i) for i in ids}) == 1:
        del table[name]
        notes.append(f"sample ids are in column {name!r}")
        return ids
    if named is None:
        notes.append(f"sample ids are row numbers; column {name!r} has repeated or missing values")
        return list(lines)
    raise BadgeError(
        f"{file}: id_column={named!r} has repeated or missing values, or values of several types; "
        "name another column, or none for row numbers"
    )


_Table = tuple[dict[str, list[Any]], list[int], dict[str, str]]


def _read_csv(file: Path) -> _Table:
    rows = [row for _, row in read_csv(file)]
    names = list(rows[0]) if rows else []
    table = {name: [row[name] or None for row in rows] for name in names}
    return table, list(range(len(rows))), {}


def _read_jsonl(file: Path) -> _Table:
    """Reads a JSON object a line; a line that is none is left out."""
    rows: dict[int, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    lines = read_text(file, "JSON Lines in UTF-8", BadgeError).split("\n")
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            left_out[f"line {number + 1}"] = reason_of(error)
            continue
        if isinstance(row, dict):
            rows[number] = row
        else:
            left_out[f"line {number + 1}"] = f"expected an object, got {type(row).__name__}"
    names = dict.fromkeys(name for row in rows.values() for name in row)
    table = {name: [row.get(name) for row in rows.values()] for name in names}
    return table, list(rows), left_out


def _read_parquet(file: Path) -> _Table:
    from lightning_badge.parquet_file import read_parquet

    table = read_parquet(file, "a Parquet file", BadgeError)
    with one_line(file, "a Parquet file of plain values", BadgeError):
        return table.to_pydict(), list(range(table.num_rows)), {}
