"""Allowances come with cuts, in one transaction; an end holds until the next allowance."""

from typing import Any

import pytest

from lightning_badge.exceptions import LabelError
from lightning_badge.store.allowance import allow, allowed, end, ended
from lightning_badge.store.label_store import LabelStore


@pytest.fixture
def store() -> Any:
    with LabelStore(":memory:") as store:
        yield store


def test_a_cut_commits_its_allowance(store: LabelStore) -> None:
    assert allowed(store.changes) is None
    store.cut(0, allowed=(0, 7))
    assert allowed(store.changes) == {"round": 0, "labels": 7}
    store.cut(0)
    store.cut(0, allowed=(0, 7))
    assert len(store.changes.of("allowance")) == 1
    store.cut(1, allowed=(0, None))
    assert allowed(store.changes) == {"round": 0, "labels": None}


def test_without_its_allowance_there_is_no_cut(store: LabelStore) -> None:
    wrong: Any = (0, object())
    with pytest.raises(LabelError):
        store.cut(0, allowed=wrong)
    assert store.cuts(0) == []


def test_a_cut_may_be_before_answers_that_came_meanwhile(store: LabelStore) -> None:
    store.record(0, [(1, "cat"), (2, "cat")], annotator="ann")
    assert store.last_answer_id() == 2
    assert store.cut(1, up_to=1).last_answer_id == 1
    assert store.cut(1).last_answer_id == 2


def test_the_cut_of_a_published_round_changes_no_allowance(store: LabelStore) -> None:
    first = store.cut(1, allowed=(0, 3))
    store.record(1, [(1, "cat")], annotator="ann")
    assert store.cut(1, allowed=(0, 9)) == first
    assert allowed(store.changes) == {"round": 0, "labels": 3}


def test_an_end_holds_until_the_next_allowance(store: LabelStore) -> None:
    def permit(round: int, labels: int) -> None:
        with store.leases.transaction():
            allow(store.changes, round, labels)

    permit(0, 3)
    assert ended(store.changes) is None
    end(store.changes, 1, "enough")
    end(store.changes, 1, "enough")
    (change,) = store.changes.of("end")
    assert ended(store.changes) == change
    permit(0, 3)
    assert ended(store.changes) is None
    end(store.changes, 1, "enough")
    assert ended(store.changes)
