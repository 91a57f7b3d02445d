import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lightning_badge.csv_file import write_rows
from lightning_badge.datamodule.folder import FolderDataModule, folder
from lightning_badge.datamodule.folder.ngrams import hashed_ngrams
from lightning_badge.exceptions import BadgeError
from lightning_badge.labels import label_text

TEXTS = [f"the {n}th message is about cards" for n in range(25)]
CLASSES = ["card", "loan"]


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(columns), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        lines = [",".join(columns), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines))
    return path


def load(path: Path, **arguments: Any) -> FolderDataModule:
    return folder(str(path), **{"classes": CLASSES, **arguments})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_texts_are_found_in_all_formats(tmp_path: Path, suffix: str) -> None:
    names = [f"m{n}" for n in range(25)]
    write(tmp_path / f"mail{suffix}", {"id": names, "place": ["x", "y"] * 12 + ["x"], "m": TEXTS})
    datamodule = load(tmp_path)
    assert datamodule.samples.kind == "texts"
    assert datamodule.pool_ids.tolist() == names
    assert datamodule.samples.notes == ["texts are in column 'm'", "sample ids are in column 'id'"]
    ((ngrams, targets),) = (batch.batch for batch in datamodule.pool_dataloader())
    assert (ngrams == hashed_ngrams(TEXTS)).all()
    assert set(targets.tolist()) == {-1}


def test_row_numbers_are_ids_where_there_is_no_id_column(tmp_path: Path) -> None:
    datamodule = load(write(tmp_path / "a.csv", {"id": [1] * 25, "text": TEXTS}))
    assert datamodule.pool_ids.tolist() == list(range(25))


def test_labels_in_the_file_are_known(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", {"text": TEXTS, "topic": ["card", "loan"] * 12 + ["card"]})
    datamodule = load(tmp_path, label_column="topic", classes=None, initial_labeled=2)
    assert datamodule.class_names == ("card", "loan")
    assert datamodule.has_validation
    assert len(datamodule.held_back_labels()) == 13  # 12 of 25, at most half, are for validation


def test_the_label_file_in_the_folder_is_not_data(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", {"text": TEXTS})
    write(tmp_path / "labels.csv", {"sample_id": [3], "label": ["loan"]})
    assert load(tmp_path, labels="labels.csv").labels_dict() == {3: 1}


def test_rows_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) for text in TEXTS]
    lines[2:4] = ['{"text": ', '{"text": null}']
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.warns(UserWarning, match=r"left out 2 samples.*'line 3': .*'3': column 'text'"):
        datamodule = load(tmp_path)
    assert datamodule.pool_ids.tolist() == [0, 1, *range(4, 25)]
    assert datamodule.samples.shown_as == "text"
    assert datamodule.samples.shown == [*TEXTS[:2], *TEXTS[4:]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text_column": "body"}, r"text_column='body' is not a column; there are text"),
        ({"kind": "video"}, "kind: expected auto, images"),
        ({"kind": "images"}, "found none"),
    ],
)
def test_wrong_settings(tmp_path: Path, arguments: dict[str, str], message: str) -> None:
    write(tmp_path / "a.csv", {"text": TEXTS})
    with pytest.raises(BadgeError, match=message):
        load(tmp_path, **arguments)


def test_wrong_paths(tmp_path: Path) -> None:
    with pytest.raises(BadgeError, match=r"one file with rows.*found none"):
        load(tmp_path)
    write(tmp_path / "a.csv", {"text": TEXTS})
    write(tmp_path / "b.csv", {"text": TEXTS})
    with pytest.raises(BadgeError, match=r"found a\.csv, b\.csv; set data\.path"):
        load(tmp_path)
    with pytest.raises(BadgeError, match="found neither"):
        load(tmp_path / "none")
    (tmp_path / "empty.csv").write_text("text\n")
    with pytest.raises(BadgeError, match="expected rows, found none"):
        load(tmp_path / "empty.csv")


def test_ngrams_of_long_texts_are_their_first_words() -> None:
    (row,) = hashed_ngrams(["one two three four five"], most=3)
    assert row.tolist() == hashed_ngrams(["one two three"])[0, :3].tolist()
    assert hashed_ngrams([""]).tolist() == [[0]]


def test_ngrams_are_the_same_in_every_process() -> None:
    # A saved model knows them by these numbers. Python's hashes of texts differ between processes.
    first = [1477, 12583, 12943, 1860, 8213, 6549, 9660, 238, 16013, 12521, 11449]
    rest = [11363, 5630, 3909, 13562, 8726, 9586, 350, 3856, 4713, 12003]
    assert hashed_ngrams(["lost card"]).tolist() == [[*first, *rest]]


@pytest.mark.parametrize("multilabel", [False, True])
def test_labels_by_class_names_with_blanks_come_back(tmp_path: Path, multilabel: bool) -> None:
    """What `loop` writes into labels.csv is read by `data.labels`."""
    data = tmp_path / "texts.csv"
    data.write_text("text\n" + "".join(f"where is order number {n}?\n" for n in range(6)))
    arguments = {"classes": [" cat", "dog ", "cat dog"], "multilabel": multilabel}
    labels = [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]] if multilabel else [0, 1]
    first = folder(str(data), **arguments)
    first.label(dict(enumerate(labels)))
    with (tmp_path / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        given = first.labels_dict().items()
        rows = [(key, label_text(label, first.class_names)) for key, label in given]
        write_rows(file, [("sample_id", "label"), *rows])
    again = folder(str(data), labels=str(tmp_path / "labels.csv"), **arguments)
    assert again.labels_dict() == first.labels_dict()
    assert again.class_names == ("cat", "dog", "cat dog")
