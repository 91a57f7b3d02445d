from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP
from lightning_badge.loop.query import query_labels
from lightning_badge.store.label_store import LabelStore


class ScriptedOracle:
    """Answers from a table, in reverse order; ids outside of the table get no answer."""

    name = "scripted"

    def __init__(self, answers: dict[Any, Any]) -> None:
        self.answers = answers
        self.batches: list[list[Any]] = []

    def answer(self, sample_ids: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        self.batches.append(list(sample_ids))
        for sample_id in reversed(self.batches[-1]):
            if sample_id in self.answers:
                yield sample_id, self.answers[sample_id]


def test_it_asks_for_the_first_ranks_and_no_more() -> None:
    with LabelStore(":memory:") as store:
        oracle = ScriptedOracle(dict.fromkeys(range(100), 1))
        assert query_labels(range(50, 90), 7, oracle=oracle, store=store, round=3) == 7
        assert oracle.batches == [list(range(50, 57))]
        assert {answer.round for answer in store.answers()} == {3}


def test_skips_and_missing_answers_do_not_count_towards_the_query_size() -> None:
    with LabelStore(":memory:") as store:
        oracle = ScriptedOracle({0: "a", 1: SKIP, 3: "b", 4: SKIP, 5: "c", 6: "d"})
        assert query_labels(range(8), 4, oracle=oracle, store=store, round=0) == 4
        assert store.labels() == {3: "b", 0: "a", 5: "c", 6: "d"}
        assert store.skipped() == [1, 4]
        assert oracle.batches == [[0, 1, 2, 3], [4, 5], [6]]


def test_a_resumed_query_asks_only_for_the_missing_labels() -> None:
    with LabelStore(":memory:") as store:
        store.record(1, [(0, "a"), (1, SKIP), (3, "b")], annotator="another")
        oracle = ScriptedOracle(dict.fromkeys(range(9), "c"))
        assert query_labels(range(9), 4, oracle=oracle, store=store, round=1) == 4
        assert oracle.batches == [[2, 4]]


def test_an_exhausted_ordering_gives_fewer_labels() -> None:
    with LabelStore(":memory:") as store:
        oracle = ScriptedOracle({0: 1, 1: SKIP, 2: 1})
        assert query_labels(range(3), 9, oracle=oracle, store=store, round=0) == 2


def test_string_ids_stay_strings() -> None:
    with LabelStore(":memory:") as store:
        oracle = ScriptedOracle({"b": 1, "a": 0})
        query_labels(["b", "a"], 1, oracle=oracle, store=store, round=0)
        assert store.labels() == {"b": 1}


def test_an_answer_to_another_sample_is_an_error() -> None:
    class Confused(ScriptedOracle):
        def answer(self, sample_ids: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            yield 99, 1

    with (
        LabelStore(":memory:") as store,
        pytest.raises(LabelError, match="'scripted': answered sample 99, which round 2 did not"),
    ):
        query_labels(range(5), 1, oracle=Confused({}), store=store, round=2)


@given(
    skips=st.sets(st.integers(0, 19)),
    query_size=st.integers(1, 25),
    cuts=st.lists(st.integers(1, 6), max_size=4),
)
def test_an_interrupted_query_ends_like_an_uninterrupted_one(
    skips: set[int], query_size: int, cuts: list[int]
) -> None:
    class KilledError(Exception):
        pass

    class StoppingOracle(ScriptedOracle):
        until_kill = 10**9

        def answer(self, sample_ids: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            for pair in super().answer(sample_ids):
                if not self.until_kill:
                    raise KilledError
                self.until_kill -= 1
                yield pair

    answers = {i: SKIP if i in skips else i % 3 for i in range(20)}
    with LabelStore(":memory:") as whole, LabelStore(":memory:") as cut:
        query_labels(range(20), query_size, oracle=ScriptedOracle(answers), store=whole, round=0)
        for until_kill in [*cuts, 10**9]:
            oracle = StoppingOracle(answers)
            oracle.until_kill = until_kill
            try:
                query_labels(range(20), query_size, oracle=oracle, store=cut, round=0)
            except KilledError:
                continue
        # After a cut, batches have other sizes and, as they are answered in reverse, other samples
        # are answered: only the numbers are comparable.
        assert len(cut.labels()) == len(whole.labels())
        assert len(cut.answers()) == len({answer.sample_id for answer in cut.answers()})


def test_each_answer_is_on_disk_before_the_next_is_requested(tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    seen: list[int] = []

    class Peeking(ScriptedOracle):
        def answer(self, sample_ids: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
            for pair in super().answer(sample_ids):
                with LabelStore(path) as other:
                    seen.append(len(other.answers()))
                yield pair

    with LabelStore(path) as store:
        oracle = Peeking(dict.fromkeys(range(9), 0))
        query_labels(range(9), 3, oracle=oracle, store=store, round=0)
    assert seen == [0, 1, 2]
