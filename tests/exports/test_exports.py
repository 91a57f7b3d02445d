"""Every format: ranks as numbers, all samples once, nothing half-written."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_badge.exceptions import ArtifactError
from lightning_badge.exports.export import export_names, export_ordering
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import as_sample_ids

IDS = ["b/x.png", 'a, "y".png', "ä\n.png"]


def read_csv(path: Path, rank: str) -> dict[Any, Any]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["sample_id"]: int(row[rank]) for row in csv.DictReader(file)}


def read_folder(path: Path) -> dict[Any, Any]:
    rows = [json.loads(file.read_text()) for file in path.rglob("*.json")]
    return {
        row["file_name"]: row["metadata"]["badge_rank"] for row in rows if isinstance(row, dict)
    }


READ: dict[str, Callable[[Path], dict[Any, Any]]] = {
    "argilla": lambda path: {
        record["id"]: record["metadata"]["badge_rank"] for record in json.loads(path.read_text())
    },
    "csv": lambda path: read_csv(path, "rank"),
    "fiftyone": lambda path: read_csv(path, "badge_rank"),
    "jsonl": lambda path: {
        row["sample_id"]: row["rank"] for row in map(json.loads, path.read_text().splitlines())
    },
    "label-studio": lambda path: {
        task["data"]["sample_id"]: task["data"]["badge_rank"]
        for task in json.loads(path.read_text())
    },
    "lightly": read_folder,
    "prodigy": lambda path: {
        task["sample_id"]: task["meta"]["rank"]
        for task in map(json.loads, path.read_text().split("\n")[:-1])
    },
}


def test_every_format_is_tested() -> None:
    assert set(READ) == set(export_names())


@pytest.mark.parametrize("to", READ)
class TestFormat:
    def test_holds_every_sample_with_its_rank(self, tmp_path: Path, to: str) -> None:
        path = export_ordering(Ordering(sample_ids=IDS), tmp_path / "out", to)
        assert READ[to](path) == {sample_id: rank for rank, sample_id in enumerate(IDS)}

    def test_an_empty_ordering_is_an_empty_file(self, tmp_path: Path, to: str) -> None:
        path = export_ordering(Ordering(sample_ids=[]), tmp_path / "out", to)
        assert READ[to](path) == {}

    def test_a_failure_leaves_nothing(
        self, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def break_off(*_: Any, **__: Any) -> Any:
            raise KeyboardInterrupt

        monkeypatch.setattr("lightning_badge.exports.export.ordering_table", break_off)
        with pytest.raises(KeyboardInterrupt):
            export_ordering(Ordering(sample_ids=IDS), tmp_path / "out", to)
        assert list(tmp_path.iterdir()) == []

    def test_other_placeholders_are_refused(self, tmp_path: Path, to: str) -> None:
        for template in ("{path}", "{sample_id", "{0}"):
            with pytest.raises(ArtifactError, match="field image"):
                export_ordering(
                    Ordering(sample_ids=IDS), tmp_path / "out", to, fields={"image": template}
                )


ORDERING = Ordering(
    as_sample_ids([7, 3]),
    gains=np.array([np.nan, 0.5]),
    confidence=np.array([0.9, np.nan], dtype=np.float32),
)
FIELDS = {"image": "https://example.org/{sample_id}.png"}


class TestProdigy:
    def test_a_task_has_what_prodigy_shows(self, tmp_path: Path) -> None:
        path = export_ordering(ORDERING, tmp_path / "out.jsonl", "prodigy", fields=FIELDS)
        first, second = map(json.loads, path.read_text().splitlines())
        assert first["image"] == "https://example.org/7.png"
        assert first["sample_id"] == 7
        assert first["meta"] == {"rank": 0, "confidence": pytest.approx(0.9)}
        assert second["meta"] == {"rank": 1, "gain": 0.5}
        assert "text" not in first

    def test_a_row_of_a_table_is_shown_as_text(self, tmp_path: Path) -> None:
        fields = {"row": "x={sample_id}", "note": "n"}
        path = export_ordering(ORDERING, tmp_path / "out.jsonl", "prodigy", fields=fields)
        first = json.loads(path.read_text().splitlines()[0])
        assert (first["text"], first["row"], first["note"]) == ("x=7", "x=7", "n")

    def test_without_fields_the_text_is_the_id(self, tmp_path: Path) -> None:
        path = export_ordering(ORDERING, tmp_path / "out.jsonl", "prodigy")
        assert [json.loads(line)["text"] for line in path.read_text().splitlines()] == ["7", "3"]


class TestArgilla:
    def test_a_record_has_the_keys_that_argilla_reads(self, tmp_path: Path) -> None:
        path = export_ordering(ORDERING, tmp_path / "out.json", "argilla", fields=FIELDS)
        first, second = json.loads(path.read_text())
        assert first == {
            "id": "7",
            "fields": {"image": "https://example.org/7.png"},
            "metadata": {"badge_rank": 0, "badge_confidence": pytest.approx(0.9)},
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }
        assert second["metadata"] == {"badge_rank": 1, "badge_gain": 0.5}

    def test_argilla_itself_reads_it(self, tmp_path: Path) -> None:
        argilla = pytest.importorskip("argilla")
        path = export_ordering(ORDERING, tmp_path / "out.json", "argilla")
        records = [argilla.Record.from_dict(record) for record in json.loads(path.read_text())]
        assert [record.id for record in records] == ["7", "3"]
        assert [record.metadata["badge_rank"] for record in records] == [0, 1]


class TestLightly:
    def test_the_schema_names_the_numbers(self, tmp_path: Path) -> None:
        path = export_ordering(Ordering(sample_ids=["x.png"]), tmp_path / "out", "lightly")
        schema = json.loads((path / "schema.json").read_text())
        assert {entry["path"]: entry["valueDataType"] for entry in schema} == {
            "badge_rank": "NUMERIC_INT",
            "badge_gain": "NUMERIC_FLOAT",
        }

    @pytest.mark.parametrize(
        ("ids", "expected"),
        [(["../x.png"], "relative"), (["/x.png"], "relative"), (["x.png", "x.jpg"], "is taken")],
    )
    def test_names_that_leave_the_folder_or_clash_are_refused(
        self, tmp_path: Path, ids: list[str], expected: str
    ) -> None:
        with pytest.raises(ArtifactError, match=expected):
            export_ordering(Ordering(sample_ids=ids), tmp_path / "out", "lightly")
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_exists_stays(self, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        with pytest.raises(ArtifactError, match="does not exist yet"):
            export_ordering(Ordering(sample_ids=IDS), tmp_path / "out", "lightly")


def test_an_unknown_format_lists_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="expected one of argilla, csv, fiftyone"):
        export_ordering(Ordering(sample_ids=IDS), tmp_path / "out", "xml")
