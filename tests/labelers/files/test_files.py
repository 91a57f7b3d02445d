import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.folder import folder
from lightning_badge.exceptions import LabelError
from lightning_badge.labelers import FileLabelers
from lightning_badge.loop.answer_check import AnswerCheck
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import as_sample_ids
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query

NAMES = ["cat", "dog", "other"]


class Desk:
    """A run directory with texts, a query of them, and labelers who exchange files with it."""

    def __init__(
        self,
        path: Path,
        *,
        accept_changes: bool = False,
        multilabel: bool = False,
        **arguments: Any,
    ) -> None:
        messages = path / "messages.csv"
        rows = [f"n{n:02d},a message about animal number {n}" for n in range(40)]
        messages.write_text("\n".join(["sample_id,text", *rows]))
        self.datamodule: ActiveLearningDataModule = folder(
            str(messages), classes=NAMES, multilabel=multilabel
        )
        self.run = path / "run"
        self.store = LabelStore(":memory:")
        self.classes = ClassList(
            self.store, NAMES, accept_changes=accept_changes, multilabel=multilabel
        )
        check = AnswerCheck(self.datamodule, LabeledSet(self.datamodule), self.classes)
        self.store.accept_only(check)
        self.labelers = FileLabelers(self.datamodule, self.run, **arguments)

    def publish(self, *, allowed: int | None = None, **arguments: Any) -> Query:
        pool = self.datamodule.pool_ids
        guesses = (np.arange(len(pool)) % 3).astype(np.int32)
        cut = (self.store.cuts(0) or [self.store.cut(0)])[-1]
        query = Query(
            self.store,
            cut,
            Ordering(pool, hallucinated_label=guesses),
            classes=self.classes,
            **arguments,
        )
        query.allow(allowed)
        self.labelers.publish(query)
        return query

    def drop(self, text: str, name: str = "answers.csv", encoding: str = "utf-8") -> None:
        (self.run / "answers").mkdir(parents=True, exist_ok=True)
        (self.run / "answers" / name).write_bytes(text.encode(encoding))

    def collect(self) -> int:
        return sum(self.store.add(batch) for batch in self.labelers.collect())

    def asked(self) -> list[dict[str, str]]:
        with (self.run / "query.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    desk = Desk(tmp_path)
    yield desk
    desk.store.close()


def test_the_query_says_what_to_label_and_what_the_model_guesses(desk: Desk) -> None:
    desk.publish(allowed=2, validation=["n07"])
    assert desk.asked() == [
        {
            "rank": "0",
            "sample_id": "n00",
            "text": "a message about animal number 0",
            "guess": "cat",
            "label": "",
        },
        {
            "rank": "1",
            "sample_id": "n01",
            "text": "a message about animal number 1",
            "guess": "dog",
            "label": "",
        },
    ]
    to_do = desk.labelers.to_do()
    assert "\n" not in to_do
    assert str(desk.run / "query.csv") in to_do
    assert str(desk.run / "answers") in to_do


def test_validation_samples_have_neither_rank_nor_guess(desk: Desk) -> None:
    desk.publish(allowed=3, validation=["v"])
    assert [(row["rank"], row["sample_id"], row["guess"]) for row in desk.asked()] == [
        *(("0", "n00", "cat"), ("1", "n01", "dog"), ("", "v", ""), ("2", "n02", "other"))
    ]


def test_the_number_of_rows_is_that_of_the_budget_else_a_limit(tmp_path: Path) -> None:
    desk = Desk(tmp_path, rows=5)
    desk.publish()
    assert len(desk.asked()) == 5
    desk.publish(allowed=12)
    assert len(desk.asked()) == 12
    desk.store.close()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("sample_id,label\nn00,cat\nn01,dog\n", "utf-8"),
        ("sample_id;label\r\nn00;cat\r\nn01;dog\r\n", "utf-8-sig"),
        ("label\tsample_id\ncat\tn00\ndog\tn01", "utf-8"),
        ('rank,Sample_ID,text,guess,LABEL\n0,n00,"a, b",dog, cat \n1,n01,c,dog,1\n', "utf-8"),
        ("sample_id,label\rn00,0\rn01,1\r", "utf-8-sig"),
        ("sample_id,label\nn00,cat\nn01,dog\nn02,\nn03\n\n", "utf-8"),
    ],
)
def test_dialects_and_class_numbers_are_read(desk: Desk, text: str, encoding: str) -> None:
    desk.publish()
    desk.drop(text, encoding=encoding)
    assert desk.collect() == 2
    assert desk.store.labels() == {"n00": 0, "n01": 1}
    assert not {"n00", "n01"} & {row["sample_id"] for row in desk.asked()}
    assert desk.collect() == 0


def test_annotator_seconds_and_status_are_kept(desk: Desk) -> None:
    desk.publish()
    desk.drop(
        "sample_id,label,annotator,seconds,status\n"
        'n00,cat,ann,2.5,label\nn01,,ann,,skip\nn00,,ann,,undo\nn02,dog,,"1,5",\n'
    )
    assert desk.collect() == 4
    assert desk.store.labels() == {"n02": 1}
    assert desk.store.skipped() == ["n01"]
    answers = desk.store.answers()
    assert [(a.annotator, a.seconds, a.round, a.rank) for a in answers] == [
        *(("ann", 2.5, 0, 0), ("ann", None, 0, 1), ("ann", None, 0, 0), ("files", 1.5, 0, 2))
    ]


def test_wrong_rows_are_named_by_file_and_line_and_the_others_count(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.publish()
    desk.drop(
        "sample_id,label,seconds,status\n"
        "n00,cat,,\nnope,cat,,\nn01,bird,,\nn02,3,,\nn03,cat,-1,\nn04,cat,,done\nn05,,,undo\n"
        "n06,,,label\nn07,dog,,\n"
    )
    desk.drop("name,label\nn08,cat\n", "columns.csv")
    desk.drop("sample_id,label\nn09,Katze Ä\n", "latin.csv", "latin-1")
    assert desk.collect() == 2
    assert desk.store.labels() == {"n00": 0, "n07": 1}
    said = "\n".join(caplog.messages)
    for line, why in {
        3: "sample 'nope' is not in the data",
        4: "label 'bird': expected one of cat, dog, other; correct it, or accept a new class by",
        5: "label '3': expected one of cat, dog, other",
        6: "seconds: expected a number of at least 0, got '-1'",
        7: "status: expected one of label, skip, undo, got 'done'",
        8: "'files' has not answered sample 'n05'; nothing to undo",
        9: "label: expected a class, got none",
    }.items():
        assert f"answers.csv, line {line}: {why}" in said
    assert "columns.csv: expected the columns sample_id and label, got name, label" in said
    assert "latin.csv: expected a CSV file in UTF-8" in said
    assert len(caplog.messages) == 9
    assert all("\n" not in text for text in caplog.messages)


def test_a_new_class_counts_from_the_next_cut_on_if_changes_are_accepted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, accept_changes=True)
    desk.publish()
    desk.drop("sample_id,label\nn00,cat\nn01,bird\nn02,bird\nn03,3\n")
    assert desk.collect() == 4
    assert desk.store.labels() == {"n00": 0, "n01": 3, "n02": 3, "n03": 3}
    (before,) = desk.store.cuts(0)
    cut = desk.store.cut(1)
    assert desk.classes.names(up_to=before.last_answer_id) == ("cat", "dog", "other")
    assert desk.classes.names(up_to=cut.last_answer_id) == ("cat", "dog", "other", "bird")
    assert len(desk.store.changes.of("class")) == 1
    desk.store.close()


def test_several_classes_of_a_sample(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path, multilabel=True, accept_changes=True)
    desk.publish()
    desk.drop("sample_id,label\nn00,cat|other\nn01,none\nn02,cat|bird\n")
    assert desk.collect() == 2
    assert desk.store.labels() == {"n00": [1.0, 0.0, 1.0], "n01": [0.0, 0.0, 0.0]}
    assert "line 4: label 'bird': expected one of cat, dog, other; several" in caplog.text
    desk.store.close()


def test_labels_that_are_filled_in_in_place_are_kept(desk: Desk) -> None:
    desk.publish(allowed=3)
    path = desk.run / "query.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1] + "cat", *lines[2:]]))
    desk.publish(allowed=3)
    assert desk.collect() == 1
    assert desk.store.labels() == {"n00": 0}
    assert [row["sample_id"] for row in desk.asked()] == ["n01", "n02"]
    assert len(list((desk.run / "answers").iterdir())) == 1
    # The same file, which somebody also put where it belongs, counts once.
    (desk.run / "answers" / "mine.csv").write_text("\n".join([lines[0], lines[1] + "cat"]))
    assert desk.collect() == 0


def test_answers_of_an_earlier_round_are_corrections_of_it(desk: Desk) -> None:
    desk.publish()
    desk.drop("sample_id,label\nn03,cat\n")
    desk.collect()
    desk.datamodule.label({"n03": 0})
    cut = desk.store.cut(1)
    query = Query(desk.store, cut, Ordering(desk.datamodule.pool_ids), classes=desk.classes)
    query.allow(None)
    desk.labelers.publish(query)
    desk.drop("sample_id,label\nn03,dog\nn05,dog\n", "more.csv")
    assert desk.collect() == 2
    assert [(a.sample_id, a.round, a.rank) for a in desk.store.answers()[1:]] == [
        *(("n03", 0, 3), ("n05", 1, 4))
    ]
    assert query.progress().new_labels == 2


def test_the_query_is_written_for_label_studio_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path, export="label-studio", fields={"link": "https://x.org/{sample_id}"})
    desk.publish(allowed=2)
    tasks = json.loads((desk.run / "query.json").read_text())
    assert [task["data"]["sample_id"] for task in tasks] == ["n00", "n01"]
    assert tasks[1]["data"]["text"] == "a message about animal number 1"
    assert tasks[1]["data"]["link"] == "https://x.org/n01"
    assert tasks[1]["data"]["badge_rank"] == 1
    desk.store.close()


def test_files_are_read_oldest_first_and_hidden_ones_are_not(desk: Desk) -> None:
    desk.publish()
    for n, name in enumerate(["b.CSV", "a.csv", "._a.csv", ".~lock.a.csv", "~$a.csv"]):
        desk.drop(f"sample_id,label\nn00,{NAMES[n % 3]}\n", name)
        os.utime(desk.run / "answers" / name, (n, n))
    (desk.run / "answers" / "folder.csv").mkdir()
    assert desk.collect() == 2
    assert [answer.label for answer in desk.store.answers()] == [0, 1]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"rows": 0}, r"labelers\.rows: expected an integer of 1 or more, got 0"),
        ({"export": "lightly"}, r"labelers\.export: expected null or one of .*label-studio"),
    ],
)
def test_wrong_settings_are_an_error(tmp_path: Path, arguments: Any, says: str) -> None:
    with pytest.raises(LabelError, match=says):
        Desk(tmp_path, **arguments)


def test_data_without_class_names_take_numbers(tmp_path: Path) -> None:
    data = [([float(n)], -1) for n in range(9)]
    datamodule = ActiveLearningDataModule(data, initial_labeled=[])
    labelers = FileLabelers(datamodule, tmp_path)
    with LabelStore(":memory:") as store:
        query = Query(store, store.cut(0), Ordering(as_sample_ids(range(9))))
        query.allow(None)
        labelers.publish(query)
        (tmp_path / "answers" / "a.csv").write_text("sample_id,label\n4,2\n")
        for batch in labelers.collect():
            store.add(batch)
        assert store.labels() == {4: 2}
        header = (tmp_path / "query.csv").read_text().splitlines()[0]
        assert header == "rank,sample_id,guess,label"
