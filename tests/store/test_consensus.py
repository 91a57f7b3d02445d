from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.store.answer import Answer
from lightning_badge.store.consensus import CONSENSUS, answers_in_force, votes_of
from lightning_badge.store.label_store import LabelStore

ANNOTATORS = ("ann", "bob", "eve")


def log(*answers: Any) -> list[Answer]:
    """Returns answers to sample 7, in this order: who, a label, perhaps what was predicted."""
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return [
        Answer(7, label, who, 0, at, number, guess=next(iter(guess), None))
        for number, (who, label, *guess) in enumerate(answers, 1)
    ]


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
    for consensus, label in zip(("latest", "majority", "unanimous"), expected, strict=True):
        found = answers_in_force(log(*answers), consensus)
        assert repr(found[7].label if found else None) == repr(label)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([("model:a", 0)], 0),
        ([("model:a", 0, 0)], 0),
        ([("model:a", 0, 1)], None),  # the trained model predicted another class
        ([("model:a", 0, 1), ("ann", 0)], 0),
        ([("model:a", 0, 1), ("ann", 1)], 1),
        ([("ann", 1), ("model:a", 0, 0)], 1),
        ([("ann", 1), ("model:a", 0), ("model:b", 0)], 1),
        ([("model:a", 0), ("model:b", 1)], None),
        ([("model:a", 0), ("model:b", 0)], 0),
        ([("model:a", 0, 0), ("model:b", 0, 1)], None),
        ([("model:a", SKIP)], None),
        ([("model:a", 0), ("ann", SKIP)], SKIP),
        ([("model:a", 0), ("ann", 1), ("bob", 0)], None),  # people do not agree
        ([("model:a", 0), ("ann", 1), ("ann", UNDO)], 0),
        ([("model:a", 1), ("model:a", 0)], 0),
        ([("ann", 0), ("bob", 1), ("eve", 1)], 1),
    ],
)
def test_people_come_before_models(answers: list[Any], expected: Any) -> None:
    found = answers_in_force(log(*answers), "people_first")
    assert repr(found[7].label if found else None) == repr(expected)


MODELS = ("model:a", "model:b")
ANSWERED = st.sampled_from([0, 1, SKIP, UNDO])
GUESSES = st.sampled_from([None, 0, 1])


@given(
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(ANNOTATORS), ANSWERED),
            st.tuples(st.sampled_from(MODELS), ANSWERED, GUESSES),
        ),
        max_size=8,
    )
)
def test_where_people_answered_what_models_say_changes_nothing(answers: list[Any]) -> None:
    (votes,) = votes_of(log(*answers)).values() or ({},)
    people = [answer for answer in answers if answer[0] in ANNOTATORS]
    found = answers_in_force(log(*answers), "people_first")
    label = found[7].label if found else None
    if votes.keys() & set(ANNOTATORS):
        of_people = answers_in_force(log(*people), "majority")
        assert label == (of_people[7].label if of_people else None)
    elif found:
        assert label is not SKIP
        assert all(vote.label == label for vote in votes.values())
        assert all(vote.guess in (None, label) for vote in votes.values())


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
