from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_badge.exceptions import BudgetError
from lightning_badge.labelers import DatasetLabelers
from lightning_badge.labels import SKIP
from lightning_badge.loop.budget import FixedBudget, OnDemandBudget
from lightning_badge.loop.query import ask
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Progress, Query


class Scripted(DatasetLabelers):
    """Answers from a table; goes home at the first sample that it does not hold."""

    def __init__(self, answers: dict[Any, Any]) -> None:
        super().__init__(answers)
        self.asked: list[Any] = []

    def answer(self, sample_id: Any, annotator: str = "dataset") -> Any:
        self.asked.append(sample_id)
        return self.labels[sample_id]

    def _check_known(self, sample_ids: list[Any]) -> None:
        pass

    def collect(self) -> Iterator[list[NewAnswer]]:
        try:
            yield from super().collect()
        except KeyError:
            return


def ask_for(
    store: LabelStore, ids: Any, size: int, labelers: DatasetLabelers, *, round: int = 0
) -> tuple[Progress, bool]:
    query = Query(store, store.cut(round), Ordering(np.array(ids)))
    query.allow(size)
    return ask(query, labelers, FixedBudget(size), size)


def test_it_asks_for_the_first_ranks_and_no_more() -> None:
    with LabelStore(":memory:") as store:
        labelers = Scripted(dict.fromkeys(range(100), 1))
        progress, is_complete = ask_for(store, range(50, 90), 7, labelers, round=3)
        assert (progress.labels, is_complete) == (7, True)
        assert labelers.asked == list(range(50, 57))
        assert {answer.round for answer in store.answers()} == {3}


def test_skips_do_not_count_towards_the_query_size() -> None:
    with LabelStore(":memory:") as store:
        labelers = Scripted({0: "a", 1: SKIP, 2: "b", 3: SKIP, 4: "c", 5: "d", 6: "e"})
        progress, is_complete = ask_for(store, range(8), 4, labelers)
        assert (progress.labels, is_complete) == (4, True)
        assert store.labels() == {0: "a", 2: "b", 4: "c", 5: "d"}
        assert store.skipped() == [1, 3]


def test_labelers_who_go_home_are_not_asked_for_the_rest() -> None:
    with LabelStore(":memory:") as store:
        labelers = Scripted({0: "a", 1: "b"})
        progress, is_complete = ask_for(store, range(8), 4, labelers)
        assert (progress.labels, is_complete) == (2, False)
        assert labelers.asked == [0, 1, 2]


def test_a_resumed_query_asks_only_for_the_missing_labels() -> None:
    with LabelStore(":memory:") as store:
        store.cut(1)
        store.record(1, [(0, "a"), (1, SKIP), (3, "b")], annotator="another")
        labelers = Scripted(dict.fromkeys(range(9), "c"))
        assert ask_for(store, range(9), 4, labelers, round=1)[1]
        assert labelers.asked == [2, 4]


def test_a_complete_query_asks_nobody() -> None:
    with LabelStore(":memory:") as store:
        store.cut(0)
        store.record(0, [(0, "a")], annotator="another")
        labelers = Scripted({})
        assert ask_for(store, range(9), 1, labelers)[1]
        assert labelers.asked == []


def test_an_exhausted_ordering_completes_a_query_with_fewer_labels() -> None:
    with LabelStore(":memory:") as store:
        progress, is_complete = ask_for(store, range(3), 9, Scripted({0: 1, 1: SKIP, 2: 1}))
        assert (progress.labels, progress.is_exhausted, is_complete) == (2, True, True)


def test_string_ids_stay_strings() -> None:
    with LabelStore(":memory:") as store:
        ask_for(store, np.array(["b", "a"], dtype=object), 1, Scripted({"b": 1, "a": 0}))
        assert store.labels() == {"b": 1}


def test_a_budget_without_a_size_ends_a_query_by_what_it_received() -> None:
    with LabelStore(":memory:") as store:
        query = Query(store, store.cut(0), Ordering(np.arange(50)))
        query.allow(None)
        labelers = Scripted({n: SKIP if n == 1 else 0 for n in range(50)})
        progress, is_complete = ask(query, labelers, OnDemandBudget(at_least=3), 50)
        assert (progress.new_labels, is_complete) == (3, True)
        assert labelers.asked == [0, 1, 2, 3]


@pytest.mark.parametrize(("only_reads", "labels"), [(True, 5), (False, 4)])
def test_answers_that_are_there_count_before_a_complete_query_ends(
    only_reads: bool, labels: int
) -> None:
    class Reading(Scripted):
        def collect(self) -> Iterator[list[NewAnswer]]:
            yield [NewAnswer(7, 0, "ann", 0)]

    with LabelStore(":memory:") as store:
        cut = store.cut(0)
        store.record(0, [(n, 0) for n in range(4)], annotator="ann")
        query = Query(store, cut, Ordering(np.arange(50)))
        query.allow(None)
        labelers = Reading({})
        labelers.only_reads = only_reads
        progress, is_complete = ask(query, labelers, OnDemandBudget(at_least=4), 50)
        assert (progress.new_labels, is_complete) == (labels, True)


class KilledError(Exception):
    pass


class Stopping(DatasetLabelers):
    def __init__(self, answers: dict[Any, Any], until_kill: int) -> None:
        super().__init__(answers)
        self.until_kill = until_kill

    def answer(self, sample_id: Any, annotator: str = "dataset") -> Any:
        if not self.until_kill:
            raise KilledError
        self.until_kill -= 1
        return self.labels[sample_id]


@settings(deadline=None)
@given(
    skips=st.sets(st.integers(0, 19)),
    query_size=st.integers(1, 25),
    cuts=st.lists(st.integers(1, 6), max_size=4),
)
def test_an_interrupted_query_ends_like_an_uninterrupted_one(
    skips: set[int], query_size: int, cuts: list[int]
) -> None:
    answers = {i: SKIP if i in skips else i % 3 for i in range(20)}
    with LabelStore(":memory:") as whole, LabelStore(":memory:") as cut:
        ask_for(whole, range(20), query_size, Scripted(answers))
        for until_kill in [*cuts, 10**9]:
            try:
                ask_for(cut, range(20), query_size, Stopping(answers, until_kill))
            except KilledError:
                continue
        found = [[(a.sample_id, a.label, a.rank) for a in s.answers()] for s in (cut, whole)]
        assert found[0] == found[1]


def test_each_answer_is_on_disk_before_the_next_is_requested(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    seen: list[int] = []

    class Peeking(Scripted):
        def answer(self, sample_id: Any, annotator: str = "dataset") -> Any:
            with LabelStore(path) as other:
                seen.append(len(other.answers()))
            return super().answer(sample_id)

    with LabelStore(path) as store:
        ask_for(store, range(9), 3, Peeking(dict.fromkeys(range(9), 0)))
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("at_least", [0, 2.5, True])
def test_the_answers_of_a_round_must_be_a_positive_number(at_least: Any) -> None:
    with pytest.raises(BudgetError, match=r"budget\.at_least: expected a positive integer"):
        OnDemandBudget(at_least=at_least)
