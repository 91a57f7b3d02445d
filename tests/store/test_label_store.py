import itertools
import json
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore


@pytest.fixture
def store() -> Iterator[LabelStore]:
    with LabelStore(":memory:") as store:
        yield store


def stored_answers(store: LabelStore) -> list[tuple[SampleId, Label | Skip | Undo, str, int]]:
    return [(a.sample_id, a.label, a.annotator, a.round) for a in store.answers()]


def test_different_strings_are_different_ids(tmp_path: Path) -> None:
    ids = ["a", "a\0", "a\0\0", "\0", "", "\U0001f600", "x" * 10_000]
    answers = [(sample_id, number) for number, sample_id in enumerate(ids)]
    for _ in range(2):
        with LabelStore(tmp_path / "labels.db") as store:
            store.record(0, answers, annotator="ann")
            assert store.labels() == dict(answers)
            assert [answer.sample_id for answer in store.answers()] == ids


def test_answers_come_back_in_the_order_of_commits(store: LabelStore) -> None:
    assert store.record(0, [(7, 1), (3, SKIP)], annotator="ann") == 2
    assert store.record(1, [(5, 2)], annotator="bob") == 1
    assert stored_answers(store) == [(7, 1, "ann", 0), (3, SKIP, "ann", 0), (5, 2, "bob", 1)]
    assert [a.sample_id for a in store.answers(round=0)] == [7, 3]
    assert store.answers(round=2) == []


def test_the_time_of_an_answer_is_kept_in_utc(store: LabelStore) -> None:
    before = datetime.now(timezone.utc) - timedelta(milliseconds=1)
    store.record(0, [(1, 0)], annotator="ann")
    received_at = store.answers()[0].received_at
    assert received_at.utcoffset() == timedelta(0)
    assert before <= received_at <= datetime.now(timezone.utc)


def test_answers_survive_closing(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [("b", "katt"), ("a", [1, 0])], annotator="ann")
        store.finish_round(0, query_size=2)
    with LabelStore(tmp_path / "labels.db") as store:
        assert store.labels() == {"b": "katt", "a": [1, 0]}
        assert store.finished_rounds() == [0]


def test_the_latest_answer_is_in_force(store: LabelStore) -> None:
    store.record(0, [(1, 0), (2, SKIP), (3, 0)], annotator="ann")
    store.record(0, [(1, 9), (2, 9), (3, SKIP)], annotator="bob")
    assert store.labels() == {1: 9, 2: 9}
    assert store.skipped() == [3]
    store.record(1, [(3, 4), (2, SKIP)], annotator="ann")
    assert store.labels() == {1: 9, 3: 4}
    assert store.skipped() == [2]


def test_a_repeated_answer_is_ignored_and_does_not_become_the_latest(
    store: LabelStore,
) -> None:
    store.record(0, [(1, 0)], annotator="ann")
    store.record(0, [(1, 9)], annotator="bob")
    assert store.record(0, [(1, 0), (2, 5), (2, 5)], annotator="ann") == 1
    assert store.labels() == {1: 9, 2: 5}


def test_labels_up_to_a_cut_ignore_later_answers(store: LabelStore) -> None:
    store.record(0, [(1, 0), (2, SKIP)], annotator="ann")
    cut = store.cut(1)
    # A late answer to round 0, a correction and a skip.
    store.record(0, [(3, 5), (1, 4), (1, SKIP), (2, 7)], annotator="ann")
    assert store.labels(up_to=cut.last_answer_id) == {1: 0}
    assert store.skipped(up_to=cut.last_answer_id) == [2]
    assert store.labels() == {3: 5, 2: 7}
    assert store.skipped() == [1]
    again = store.cut(1)
    assert (again.attempt, again.last_answer_id) == (1, 6)
    assert store.cuts(1) == [cut, again]
    assert store.cuts(0) == []


def test_the_cut_of_a_published_ordering_stays(store: LabelStore) -> None:
    store.record(0, [(1, 0)], annotator="ann")
    store.cut(1)
    cut = store.cut(1)
    store.record(1, [(2, 0)], annotator="ann")
    assert store.cut(1) == cut
    assert store.cut(2).last_answer_id == 2


def test_a_correction_within_a_round_is_in_force(store: LabelStore) -> None:
    store.record(0, [(1, 0)], annotator="ann")
    assert store.record(0, [(1, True), (1, 0), (1, SKIP)], annotator="ann") == 3
    assert store.skipped() == [1]


def test_undo_withdraws_the_answers_of_its_annotator_only(store: LabelStore) -> None:
    store.record(0, [(1, 0), (2, 0)], annotator="ann")
    store.record(0, [(2, 5)], annotator="bob")
    store.record(0, [(1, 3), (1, UNDO)], annotator="ann")
    store.record(0, [(2, UNDO)], annotator="bob")
    assert store.labels() == {2: 0}
    store.record(0, [(1, 3)], annotator="ann")
    assert store.labels() == {2: 0, 1: 3}
    with pytest.raises(LabelError, match="'eve' has not answered sample 2; there is nothing to un"):
        store.record(0, [(2, UNDO)], annotator="eve")


def test_a_request_that_is_sent_again_counts_once(store: LabelStore) -> None:
    first = NewAnswer(1, 0, "ann", 0, rank=4, seconds=2.5, request_id="a")
    assert store.add([first]) == 1
    assert store.add([NewAnswer(1, 9, "ann", 0, request_id="b")]) == 1
    assert store.add([first, first]) == 0
    assert store.labels() == {1: 9}
    stored = store.answers()[0]
    assert (stored.rank, stored.seconds, stored.request_id) == (4, 2.5, "a")
    with pytest.raises(LabelError, match="request_id 'a' belongs to another answer, to sample 1"):
        store.add([NewAnswer(2, 0, "ann", 0, request_id="a")])


def test_refused_answers_are_not_stored_and_stored_ones_are_ignored(
    store: LabelStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.record(0, [(1, 0), (1, "cat"), (99, 0), (2, 1)], annotator="ann")
    store.accept_only(lambda key, label: "bad" if key == 99 or label == "cat" else None)
    for _ in range(2):
        assert store.labels() == {1: 0, 2: 1}
    assert len(caplog.messages) == 1
    assert "ignoring 2 answers that cannot be used, such as answer 2: bad" in caplog.text
    with pytest.raises(LabelError, match="bad; it is not stored"):
        store.record(0, [(3, 0), (4, "cat")], annotator="ann")
    assert len(store.answers()) == 4


def test_a_batch_with_invalid_values_is_not_stored(store: LabelStore) -> None:
    with pytest.raises(LabelError, match="label: expected an int"):
        store.record(0, [(1, 0), (2, float("nan"))], annotator="ann")
    with pytest.raises(LabelError, match="sample ids: expected all int or all str"):
        store.record(0, [(1, 0), ("2", 0)], annotator="ann")
    with pytest.raises(LabelError, match="UTF-8 can encode, got"):
        store.record(0, [("a", 0), ("\udc80", 0)], annotator="ann")
    with pytest.raises(LabelError, match="surrogates not allowed"):
        store.record(0, [("a", 0), ("b", "\udc80")], annotator="ann")
    assert store.answers() == []


def test_all_ids_of_a_store_have_one_type(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [("7", 0)], annotator="ann")
        with pytest.raises(LabelError, match="expected sample ids of type str .*, got 7, 8$"):
            store.record(0, [(7, 0), (8, 0)], annotator="ann")
        assert list(store.labels()) == ["7"]


@pytest.mark.parametrize(
    ("annotator", "round", "named"),
    [("", 0, "annotator"), (None, 0, "annotator"), ("a", -1, "round"), ("a", True, "round")],
)
def test_annotator_and_round_are_checked(
    store: LabelStore, annotator: Any, round: Any, named: str
) -> None:
    with pytest.raises(LabelError, match=f"^{named}: expected "):
        store.record(round, [(1, 0)], annotator=annotator)


def test_an_empty_batch_stores_nothing(store: LabelStore) -> None:
    assert store.record(0, [], annotator="ann") == 0


def test_a_failing_iterator_of_answers_does_not_block_other_writers(tmp_path: Path) -> None:
    def answers() -> Iterator[tuple[int, int]]:
        yield 1, 0
        with LabelStore(tmp_path / "labels.db", timeout_s=0.0) as other:
            other.record(0, [(9, 9)], annotator="bob")
        raise KeyboardInterrupt

    with LabelStore(tmp_path / "labels.db", timeout_s=0.0) as store:
        with pytest.raises(KeyboardInterrupt):
            store.record(0, answers(), annotator="ann")
        assert store.labels() == {9: 9}


PLAIN_LABELS = st.recursive(
    st.none().map(lambda _: SKIP)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner.filter(lambda label: label is not SKIP), max_size=3),
    max_leaves=4,
)
STR_IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), PLAIN_LABELS))
def test_int_ids_and_labels_are_read_back_unchanged(answers: dict[int, Any]) -> None:
    assert_read_back_unchanged(answers)


@given(st.dictionaries(STR_IDS, PLAIN_LABELS))
def test_str_ids_and_labels_are_read_back_unchanged(answers: dict[str, Any]) -> None:
    assert_read_back_unchanged(answers)


def assert_read_back_unchanged(answers: dict[Any, Any]) -> None:
    with LabelStore(":memory:") as store:
        store.record(0, answers.items(), annotator="ann")
        assert [(a.sample_id, repr(a.label)) for a in store.answers()] == [
            (sample_id, repr(label)) for sample_id, label in answers.items()
        ]


def test_ids_and_labels_of_arrays_are_kept_as_plain_values(store: LabelStore) -> None:
    ids, labels = np.array([4, 2]), torch.tensor([1, 0])
    store.record(0, zip(ids, labels, strict=True), annotator="ann")
    assert json.dumps(store.labels()) == '{"4": 1, "2": 0}'


SOME_ANSWERS = st.lists(
    st.tuples(
        st.integers(0, 2),  # round
        st.integers(0, 5),  # sample
        st.sampled_from(["ann", "bob"]),
        st.sampled_from([0, 1, SKIP]),
    ),
    unique_by=lambda answer: answer[:3],
)


@settings(max_examples=30, deadline=None)
@given(SOME_ANSWERS, st.data())
def test_a_run_that_resends_its_answers_ends_like_an_uninterrupted_one(
    log: list[tuple[int, int, str, Any]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(log)))
    with tempfile.TemporaryDirectory() as folder, LabelStore(":memory:") as uninterrupted:
        for piece in (log[:cut], log):
            with LabelStore(Path(folder, "labels.db")) as store:
                for round, sample_id, annotator, label in piece:
                    store.record(round, [(sample_id, label)], annotator=annotator)
                resumed = stored_answers(store)
                in_force = store.labels() | dict.fromkeys(store.skipped(), SKIP)
        for round, sample_id, annotator, label in log:
            uninterrupted.record(round, [(sample_id, label)], annotator=annotator)
        assert resumed == stored_answers(uninterrupted)
        assert in_force == {sample_id: label for _, sample_id, _, label in log}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE answers SET label = '1'",
        "DELETE FROM answers",
        "INSERT OR REPLACE INTO answers SELECT answer_id, 9, status, label, annotator, round, "
        "rank, seconds, 'other', received_at, cost, guess FROM answers",
        "INSERT OR REPLACE INTO answers (sample_id, status, label, annotator, round, request_id, "
        "received_at) VALUES (7, 'label', '1', 'ann', 0, 'a', '')",
        "UPDATE cuts SET last_answer_id = 0",
        "DELETE FROM cuts",
        "UPDATE rounds SET query_size = 9",
        "DELETE FROM rounds",
    ],
)
def test_the_log_rejects_changes(tmp_path: Path, statement: str) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        store.add([NewAnswer(7, 0, "ann", 0, request_id="a")])
        store.cut(0)
        store.finish_round(0, query_size=1)
        with closing(sqlite3.connect(tmp_path / "labels.db")) as reader:
            with pytest.raises(sqlite3.IntegrityError, match="is append-only"):
                reader.execute(statement)
            reader.rollback()
        assert stored_answers(store) == [(7, 0, "ann", 0)]


def test_the_view_shows_the_answers_in_force(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [(7, "katt"), (8, 0)], annotator="ann")
        store.record(1, [(8, SKIP), (9, "räv"), (10, 0)], annotator="ann")
        store.record(1, [(9, 0), (9, UNDO), (8, 1), (8, UNDO)], annotator="bob")
        store.record(1, [(10, UNDO)], annotator="ann")
        assert [*store.in_force()] == [7, 8, 9]
        with closing(sqlite3.connect(tmp_path / "labels.db")) as reader:
            rows = reader.execute("SELECT sample_id, label FROM answers_in_force").fetchall()
        assert sorted(rows) == [(7, '"katt"'), (8, None), (9, '"räv"')]


def test_finished_rounds_keep_their_facts(store: LabelStore) -> None:
    assert store.finished_rounds() == []
    store.finish_round(0, query_size=37, accuracy=torch.tensor(0.5), loss=float("nan"))
    store.finish_round(1, query_size=0)
    assert store.finished_rounds() == [0, 1]
    first, second = store.rounds()
    assert (first.round, first.query_size) == (0, 37)
    assert first.facts == {"accuracy": 0.5, "loss": None}
    assert second.facts == {}
    assert first.finished_at <= second.finished_at


def test_finishing_a_round_again_with_the_same_facts_has_no_effect(store: LabelStore) -> None:
    store.finish_round(0, query_size=37, accuracy=0.5)
    before = store.rounds()
    store.finish_round(0, query_size=37, accuracy=0.5)
    assert store.rounds() == before


@pytest.mark.parametrize("changed", [{"query_size": 38, "accuracy": 0.5}, {"query_size": 37}])
def test_changing_a_finished_round_is_an_error(store: LabelStore, changed: dict[str, Any]) -> None:
    store.finish_round(0, query_size=37, accuracy=0.5)
    with pytest.raises(LabelError, match="round 0 was finished with query_size 37 and .* now"):
        store.finish_round(0, **changed)
    assert store.rounds()[0].facts == {"accuracy": 0.5}


def test_a_round_out_of_order_or_with_invalid_facts_is_an_error(store: LabelStore) -> None:
    with pytest.raises(LabelError, match="expected round 0 to finish next, got round 1"):
        store.finish_round(1, query_size=5)
    with pytest.raises(LabelError, match=r"expected numbers, strings, .* got \w*Path\("):
        store.finish_round(0, query_size=5, checkpoint=Path("best.ckpt"))
    assert store.finished_rounds() == []


@pytest.mark.parametrize("content", [b"sample_id,label\n7,cat\n" * 50, b"\0" * 5000])
def test_a_file_of_another_format_is_an_error_and_is_not_changed(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "labels.db"
    path.write_bytes(content)
    with pytest.raises(LabelError, match=r"labels\.db: expected a label store, got a file of ano"):
        LabelStore(path)
    assert path.read_bytes() == content


RECORD_FOREVER = """
import itertools, sys
from lightning_badge.store.label_store import LabelStore

store = LabelStore(sys.argv[1])
for batch in itertools.count():
    answers = [(batch * 10 + i, i) for i in range(10)]
    store.record(batch // 20, answers, annotator="dataset")
    print(batch, flush=True)
"""


@pytest.mark.slow
def test_a_kill_loses_no_committed_answer_and_leaves_no_partial_batch(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    with subprocess.Popen(
        [sys.executable, "-c", RECORD_FOREVER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = list(itertools.islice(process.stdout, 50))
        process.kill()
        reported = len(first) + process.stdout.read().count("\n")
    assert process.returncode == -9
    with LabelStore(path) as store:
        ids = [answer.sample_id for answer in store.answers()]
        assert len(ids) in (10 * reported, 10 * reported + 10)
        assert ids == list(range(len(ids)))
        assert store.labels() == {sample_id: sample_id % 10 for sample_id in ids}
        # The interrupted batch is sent again.
        store.record(
            reported // 20, [(reported * 10 + i, i) for i in range(10)], annotator="dataset"
        )
        assert len(store.answers()) == 10 * reported + 10
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


RUN_V1 = Path(__file__).parent.parent / "data" / "run_v1"


def test_a_store_of_version_1_is_migrated_and_keeps_all_answers(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    path.write_bytes((RUN_V1 / "labels.db").read_bytes())
    with closing(sqlite3.connect(path)) as connection:
        before = connection.execute(
            "SELECT sample_id, annotator, round, received_at, answer_id FROM answers"
        ).fetchall()
    for _ in range(2):
        with LabelStore(path) as store:
            after = [
                (a.sample_id, a.annotator, a.round, a.received_at.isoformat("T", "milliseconds"))
                for a in store.answers()
            ]
            assert after == [row[:4] for row in before]
            assert store.finished_rounds() == [0]
            of_round_0 = [row[4] for row in before if row[2] == 0]
            assert [cut.last_answer_id for cut in store.cuts(0)] == [0]
            assert [cut.last_answer_id for cut in store.cuts(1)] == [max(of_round_0)]
            assert store.cuts(2) == []
    with LabelStore(path) as store:
        store.record(1, [(before[0][0], 3)], annotator="ann")
        assert store.labels()[before[0][0]] == 3
