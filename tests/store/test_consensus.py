from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.store.answer import Answer
from lightning_badge.store.consensus import CONSENSUS, answers_in_force
from lightning_badge.store.label_store import LabelStore

ANNOTATORS = ("ann", "bob", "eve")


def log(*answers: tuple[str, Any]) -> list[Answer]:
    """Returns answers to sample 7, in this order."""
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return [Answer(7, label, who, 0, at, number) for number, (who, label) in enumerate(answers, 1)]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([("ann", 0)], (0, 0, 0)),
        ([("ann", 0), ("bob", 1)], (1, None, None)),
        ([("ann", 0), ("bob", 1), ("eve", 0)], (0, 0, None)),
        ([("ann", 0), ("bob", 0), ("eve", 1)], (1, 0, None)),
        ([("ann", 0), ("bob", 1), ("bob", 0)], (0, 0, 0)),
        ([("ann", 0), ("bob", 1), ("bob", UNDO)], (0, 0, 0)),
        ([("ann", 1), ("bob", True)], (True, None, None)),
        ([("ann", SKIP), ("bob", SKIP), ("eve", 0)], (0, SKIP, None)),
        ([("ann", 0), ("ann", UNDO)], (None, None, None)),
    ],
)
def test_each_rule_on_the_latest_answer_of_each_annotator(
    answers: list[tuple[str, Any]], expected: tuple[Any, ...]
) -> None:
    for consensus, label in zip(CONSENSUS, expected, strict=True):
        found = answers_in_force(log(*answers), consensus)
        assert repr(found[7].label if found else None) == repr(label)


LOGS = st.lists(
    st.tuples(st.sampled_from(ANNOTATORS), st.sampled_from([0, 1, SKIP, UNDO])), max_size=8
)


@given(LOGS)
def test_what_all_say_is_what_most_say_and_the_latest_too(answers: list[tuple[str, Any]]) -> None:
    found = {c: answers_in_force(log(*answers), c) for c in CONSENSUS}
    if found["unanimous"]:
        assert found["unanimous"] == found["majority"] == found["latest"]
    if found["majority"]:
        assert found["latest"]


def test_a_store_keeps_its_rule_and_all_answers(tmp_path: Any) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [(7, 0), (8, 0)], annotator="ann")
        store.record(0, [(7, 1), (8, 0)], annotator="bob")
        assert store.labels() == {7: 1, 8: 0}
        store.set_consensus("majority")
        store.set_consensus("majority")
        assert len(store.changes.of("consensus")) == 1
    with LabelStore(tmp_path / "labels.db") as store:
        assert store.consensus == "majority"
        assert store.labels() == {8: 0}
        assert len(store.answers()) == 4


def test_an_unknown_rule_is_an_error() -> None:
    with (
        LabelStore(":memory:") as store,
        pytest.raises(LabelError, match="consensus: expected one of latest, majority, unanimous"),
    ):
        store.set_consensus("most")
