"""What our writers of CSV write, our readers read; and no spreadsheet runs any of it."""

import csv
import io
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lightning_badge import BadgeError
from lightning_badge.app.handover.labels_csv import write_labels
from lightning_badge.app.sample_columns import column_of
from lightning_badge.app.status.run_files import _class_names
from lightning_badge.csv_file import as_cell, as_text, read_csv, write_rows
from lightning_badge.datamodule.folder.known_labels import read_label_file
from lightning_badge.exports.export import export_ordering
from lightning_badge.labelers.files.query_file import Shown, write_query
from lightning_badge.labelers.files.rows import label_of, read_rows, sample_of
from lightning_badge.loop.query_composition import query_composition_csv, query_compositions
from lightning_badge.ordering import Ordering
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.run_directory import RunDirectory

DANGEROUS = ("=", "+", "-", "@", "\t", "\r")
# Python 3.10 reads no CSV with NUL.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
CELL = st.one_of(
    TEXT, st.builds("{}{}".format, st.sampled_from([*DANGEROUS, "'", "'=", " "]), TEXT)
)
MANY, FEW = (settings(max_examples=n, deadline=None) for n in (25, 5))
NAMES = st.lists(CELL.filter(bool), min_size=2, max_size=5, unique_by=str.strip)


def without_blanks(names: list[str]) -> bool:
    return all(name and name == name.strip() for name in names)


@MANY
@given(CELL)
def test_a_cell_is_never_a_formula_and_its_text_returns(text: str) -> None:
    assert not as_cell(text).startswith(DANGEROUS)
    assert as_text(as_cell(text)) == text


@pytest.mark.parametrize("number", [-1, -0.5, +3, None])
def test_numbers_stay_numbers(number: Any) -> None:
    file = io.StringIO()
    write_rows(file, [[number]])
    assert not file.getvalue().startswith("'")


@MANY
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=4))
@example([("a\rb", "a\u2028b\x0bc\x85")])  # line ends of other kinds than those of CSV
def test_any_text_returns_from_a_file(rows: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.csv")
        for line_end in ("\r\n", "\n"):
            with path.open("w", newline="", encoding="utf-8") as file:
                write_rows(file, [["a", "b"], *rows], line_end=line_end)
            read = [tuple(map(as_text, row.values())) for _, row in read_csv(path)]
            assert read == rows


@MANY
@given(NAMES, NAMES.filter(lambda names: all(map(str.strip, names))))
@example(["=cmd|' /C calc'!A0", "'=x", "a\r\nb", " a ", "\t"], ["-", "@sum(1)"])
@example(["=x", "'=x", "''=x"], ["+1", "1"])
def test_ids_and_labels_of_a_query_return(ids: list[str], classes: list[str]) -> None:
    shown = Shown("text", dict.fromkeys(ids, "=1"))
    with tempfile.TemporaryDirectory() as folder, LabelStore(":memory:") as store:
        path, known = Path(folder, "query.csv"), ClassList(store, classes)
        guesses = (np.arange(len(ids)) % len(classes)).astype(np.int32)
        ordering = Ordering(np.array(ids, dtype=np.object_), hallucinated_label=guesses)
        query = Query(store, store.cut(0), ordering, classes=known)
        query.allow(None)
        write_query(path, query, query.peek(10), shown)
        with path.open(newline="", encoding="utf-8") as file:
            cells = list(csv.reader(file))
        assert not any(cell.startswith(DANGEROUS) for row in cells for cell in row)
        for row in cells[1:]:
            row[-1] = row[-2]  # people agree with the guess
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(cells)
        rows = read_rows(path)
        found = [sample_of(row, dict(zip(ids, ids, strict=True))) for row in rows]
        assert found == ids
        assert [label_of(row, known) for row in rows] == guesses.tolist()


@MANY
@given(NAMES, NAMES.filter(without_blanks))
def test_ids_and_labels_of_exported_labels_return(ids: list[str], classes: list[str]) -> None:
    labels = {sample_id: row % len(classes) for row, sample_id in enumerate(ids)}
    at = datetime.now(timezone.utc)
    answer = SimpleNamespace(label=labels[ids[-1]], annotator="=me", received_at=at)
    run: Any = SimpleNamespace(
        datamodule=SimpleNamespace(labels_dict=lambda: labels),
        class_names=classes,
        answers={ids[-1]: answer},
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "labels.csv")
        write_labels(run, path)
        assert read_label_file(path, ids) == {key: classes[label] for key, label in labels.items()}


def test_exported_numbers_stay_numbers(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(
        datamodule=SimpleNamespace(labels_dict=lambda: {"-7": -1.5}), class_names=None, answers={}
    )
    write_labels(run, tmp_path / "labels.csv")
    assert "'-7,-1.5,," in (tmp_path / "labels.csv").read_text()


@MANY
@given(NAMES.filter(without_blanks), CELL)
@example(["0", "1"], ";\n")
def test_ids_and_fields_of_an_exported_ordering_return(ids: list[str], field: str) -> None:
    assume("{" not in field and "}" not in field and field.strip() not in ("", "sample_id", "id"))
    assume(field not in ("rank", "gain", "hallucinated_label", "confidence", "coverage", "label"))
    ordering = Ordering(np.array(ids, dtype=np.object_), gains=-np.ones(len(ids)))
    with tempfile.TemporaryDirectory() as folder:
        path = export_ordering(ordering, Path(folder, "o.csv"), "csv", fields={field: "7"})
        assert column_of({}, path, field) == dict.fromkeys(ids, "7")
        assert column_of({}, path, "gain") == dict.fromkeys(ids, "-1.0")


def test_a_tool_gets_its_paths_as_they_are(tmp_path: Path) -> None:
    path = export_ordering(Ordering(["-x.png"]), tmp_path / "o.csv", "fiftyone")
    with path.open(newline="") as file:
        assert next(csv.DictReader(file))["filepath"] == "-x.png"


@FEW
@given(NAMES)
@example(["a\rb", "=c"])
def test_the_classes_of_a_run_return_from_its_queries(classes: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, RunDirectory(Path(folder, "run")) as directory:
        text = query_composition_csv(query_compositions({0: [0, 1]}, classes), classes)
        directory.write_text(directory.queries_csv_path, text)
        assert _class_names(directory, {}, []) == classes


def test_a_text_as_long_as_a_book_is_read(tmp_path: Path) -> None:
    text = "word " * 40_000
    with (tmp_path / "a.csv").open("w", newline="") as file:
        write_rows(file, [["sample_id", "text"], ["a", text]])
    before = csv.field_size_limit()
    assert read_csv(tmp_path / "a.csv") == [(2, {"sample_id": "a", "text": text})]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("content", [b"\xff", b"a,b\n\xe9,1\n"])
def test_what_is_no_text_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(BadgeError, match=r"\A[^\n]*a.csv: expected a CSV file in UTF-8[^\n]*\Z"):
        read_csv(tmp_path / "a.csv")
