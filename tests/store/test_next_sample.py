import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_badge.labels import SKIP, UNDO
from lightning_badge.loop.meanwhile import labels_since
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import as_sample_ids
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.leases import session_of
from lightning_badge.store.next_sample import Offer, Query


def publish(
    store: LabelStore, ids: Any = range(10), *, allowed: int | None = None, **arguments: Any
) -> Query:
    query = Query(store, store.cut(0), Ordering(as_sample_ids(ids)), **arguments)
    query.allow(allowed)
    return query


def ids_of(offers: list[Offer]) -> list[Any]:
    return [offer.sample_id for offer in offers]


@pytest.fixture
def store() -> Any:
    with LabelStore(":memory:") as store:
        yield store


def test_nothing_is_handed_out_before_the_loop_allows_it(store: LabelStore) -> None:
    query = Query(store, store.cut(0), Ordering(np.arange(10)))
    assert query.lease("a", 3) == []
    query.allow(2)
    assert query.lease("a", 3) == [Offer(0, 0, 0), Offer(1, 0, 1)]


def test_sessions_get_different_samples_and_their_own_again(store: LabelStore) -> None:
    query = publish(store)
    assert ids_of(query.lease("a", 2)) == [0, 1]
    assert ids_of(query.lease("b", 2)) == [2, 3]
    assert ids_of(query.lease("a", 3)) == [0, 1, 4]


def test_a_lease_ends_when_it_expires_or_is_released(store: LabelStore) -> None:
    query = publish(store)
    assert ids_of(query.lease("a", 2, seconds=10, now=0)) == [0, 1]
    assert ids_of(query.lease("b", 1, now=9)) == [2]
    assert ids_of(query.lease("b", 3, now=11)) == [0, 1, 2]
    query.release("b")
    assert ids_of(query.lease("c", 3, now=12)) == [0, 1, 2]


def test_the_allowance_counts_labels_and_leases_but_no_skips(store: LabelStore) -> None:
    query = publish(store, allowed=3)
    assert ids_of(query.lease("a", 2)) == [0, 1]
    assert ids_of(query.lease("b", 5)) == [2]
    assert query.lease("c", 5) == []
    store.record(0, [(0, "cat"), (2, SKIP)], annotator="ann")
    assert ids_of(query.lease("c", 5)) == [3]
    store.record(0, [(1, "cat"), (3, "dog")], annotator="ann")
    assert query.lease("c", 5) == []
    query.allow(4)
    assert ids_of(query.lease("c", 5)) == [4]


def test_an_earlier_query_hands_out_nothing(store: LabelStore) -> None:
    first = publish(store)
    store.record(0, [(0, "cat")], annotator="ann")
    second = Query(store, store.cut(1), Ordering(np.arange(1, 10)))
    second.allow(None)
    assert first.lease("a", 1) == []
    assert second.lease("a", 1) == [Offer(1, 1, 0)]


def test_answered_samples_are_not_offered_again_unless_undone(store: LabelStore) -> None:
    query = publish(store)
    store.record(0, [(0, "cat"), (1, SKIP)], annotator="ann")
    assert ids_of(query.peek(2)) == [2, 3]
    store.record(0, [(0, UNDO), (1, UNDO)], annotator="ann")
    assert ids_of(query.peek(3)) == [0, 1, 2]


def test_overlap_asks_several_annotators_but_nobody_twice(store: LabelStore) -> None:
    query = publish(store, overlap=2)
    assert ids_of(query.lease("a", 1, annotator="ann")) == [0]
    assert ids_of(query.lease("b", 1, annotator="bob")) == [0]
    assert ids_of(query.lease("c", 1, annotator="eve")) == [1]
    store.record(0, [(0, "cat")], annotator="ann")
    query.release("a")
    assert ids_of(query.lease("a", 1, annotator="ann")) == [1]
    store.record(0, [(0, "cat")], annotator="bob")
    assert 0 not in ids_of(query.peek(10))


def test_samples_of_earlier_queries_get_the_annotators_that_they_lack(store: LabelStore) -> None:
    store.record(0, [(0, "cat"), (1, "cat"), (2, SKIP), (3, "cat"), (3, UNDO)], annotator="ann")
    store.record(0, [(0, "cat")], annotator="bob")
    query = Query(store, store.cut(1), Ordering(np.arange(3, 8)), overlap=2)
    query.allow(2)
    # The skipped sample 2 may get a label, which would be one of the two.
    assert query.lease("b", 9, annotator="bob") == [
        *(Offer(1, 1, None), Offer(2, 1, None), Offer(3, 1, 0))
    ]
    query.release("b")
    assert ids_of(query.lease("a", 9, annotator="ann")) == [3, 4]


def test_ties_come_first_until_they_are_resolved(store: LabelStore) -> None:
    store.set_consensus("majority")
    query = publish(store, overlap=2)
    store.record(0, [(n, "cat") for n in range(6)], annotator="ann")
    store.record(0, [(0, "cat"), (5, "dog"), (4, "dog")], annotator="bob")
    assert ids_of(query.peek(4)) == [4, 5, 1, 2]
    assert ids_of(query.lease("a", 2, annotator="ann")) == [6, 7]
    assert ids_of(query.lease("e", 3, annotator="eve")) == [4, 5, 1]
    store.record(0, [(4, "dog")], annotator="eve")
    assert ids_of(query.peek(2)) == [5, 1]


def test_every_third_sample_is_for_validation_and_does_not_count(store: LabelStore) -> None:
    ids = [f"s{n}" for n in range(6)]
    query = publish(store, ids, allowed=3, validation=["v0", "v1", "v2"])
    offers = query.peek(1)
    assert [(offer.sample_id, offer.rank) for offer in offers] == [
        *(("s0", 0), ("s1", 1), ("v0", None), ("s2", 2))
    ]
    store.record(0, [("v0", "cat"), ("s0", "cat")], annotator="ann")
    progress = query.progress()
    assert (progress.labels, progress.new_labels, progress.has_answers) == (1, 1, True)
    assert ids_of(query.peek(1)) == ["s1", "s2"]
    store.record(0, [("s1", SKIP)], annotator="ann")
    assert ids_of(query.peek(1)) == ["s2", "s3"]
    query.allow(None)
    assert ids_of(query.peek(9)) == ["s2", "s3", "v1", "s4", "s5", "v2"]


def test_validation_samples_of_earlier_rounds_do_not_come_again(store: LabelStore) -> None:
    store.record(0, [("v0", "cat")], annotator="ann")
    query = Query(
        store,
        store.cut(1),
        Ordering(as_sample_ids(["a", "b", "c"])),
        validation=["v0", "v1"],
    )
    query.allow(None)
    assert ids_of(query.peek(9)) == ["a", "b", "v1", "c"]


def test_new_labels_are_those_that_differ_from_the_cut(store: LabelStore) -> None:
    store.record(0, [(20, "cat"), (21, "cat"), (22, "cat")], annotator="ann")
    query = Query(store, store.cut(1), Ordering(np.arange(3)))
    assert query.progress().oldest_s is None
    store.record(1, [(0, "cat"), (1, SKIP)], annotator="ann")
    store.record(0, [(20, "dog"), (21, "cat")], annotator="bob")
    progress = query.progress()
    assert (progress.labels, progress.new_labels) == (1, 2)
    assert progress.oldest_s is not None
    assert progress.oldest_s >= 0
    assert not progress.is_exhausted
    store.record(1, [(2, "dog")], annotator="ann")
    assert query.progress().is_exhausted


def test_a_correction_belongs_to_the_round_that_it_corrects(store: LabelStore) -> None:
    store.add([NewAnswer(5, "cat", "ann", 0, rank=3)])
    query = Query(store, store.cut(1), Ordering(np.arange(3)))
    assert query.origin(5, "ann") == Offer(5, 0, 3)
    assert query.origin(5, "bob") == Offer(5, 1, None)
    assert query.origin(2, "ann") == Offer(2, 1, 2)


def test_labels_count_from_the_cut_whatever_round_offered_them(store: LabelStore) -> None:
    store.record(0, [(20, "cat"), (21, SKIP)], annotator="ann")
    query = Query(
        store, store.cut(1), Ordering(np.arange(4)), validation=[30], initial=[10], overlap=1
    )
    query.allow(4)
    # Of the earlier round, of this one, a skip that became a label; then what does not count:
    # validation, a correction of the data's label, a correction, a skip.
    store.record(0, [(0, "cat")], annotator="ann")
    store.record(1, [(1, "cat"), (21, "cat")], annotator="ann")
    store.record(1, [(30, "cat"), (10, "dog"), (20, "dog"), (2, SKIP)], annotator="bob")
    assert query.progress().labels == 3
    assert ids_of(query.lease("a", 9)) == [3]
    store.record(0, [(0, UNDO)], annotator="ann")
    assert query.progress().labels == 2
    assert ids_of(query.lease("b", 9)) == [0]


def test_an_answer_and_the_next_samples_are_one_transaction(store: LabelStore) -> None:
    query = publish(store)
    session = session_of("ann", "tab")
    first, second = query.lease(session, 2, annotator="ann")
    answers = [
        NewAnswer(first.sample_id, 1, "ann", 0, request_id="a"),
        NewAnswer(second.sample_id, UNDO, "ann", 0, request_id="b"),
    ]
    answered = query.answer(session, answers, 2, annotator="ann")
    assert answered.outcomes[0] is True
    assert "nothing to undo" in str(answered.outcomes[1])
    assert ids_of(answered.offers) == [1, 2]
    again = query.answer(session, answers[:1], 2, annotator="ann")
    assert (again.outcomes, again.offers) == ([False], answered.offers)
    assert [answer.request_id for answer in store.answers()] == ["a"]


def test_an_undone_sample_goes_back_to_its_session_unless_another_one_has_it(
    store: LabelStore,
) -> None:
    query = publish(store)
    query.lease("ann#1", 1, annotator="ann")
    query.answer("ann#1", [NewAnswer(0, 1, "ann", 0)], 0, annotator="ann")
    undo = [NewAnswer(0, UNDO, "ann", 0)]
    assert ids_of(query.answer("ann#1", undo, 2, annotator="ann").offers) == [0, 1]
    query.answer("ann#1", [NewAnswer(0, 1, "ann", 0)], 0, annotator="ann")
    query.release("ann#1")
    store.record(0, [(0, UNDO)], annotator="ann")
    assert ids_of(query.lease("bob#1", 1, annotator="bob")) == [0]
    store.record(0, [(0, 2)], annotator="ann")
    assert ids_of(query.answer("ann#1", undo, 1, annotator="ann").offers) == [1]


def test_what_was_undone_since_the_cut_is_asked_again(store: LabelStore) -> None:
    store.record(0, [(7, 1), (8, SKIP)], annotator="ann")
    query = Query(store, store.cut(1), Ordering(np.arange(5)))
    query.allow(None)
    answered = query.answer("ann#1", [NewAnswer(7, UNDO, "ann", 0)], 2, annotator="ann")
    assert answered.offers == [Offer(7, 1, None), Offer(0, 1, 0)]
    assert ids_of(Query(store, store.cuts(1)[0], Ordering(np.arange(5))).peek(1)) == [7]
    query.answer("ann#1", [NewAnswer(7, 2, "ann", 1)], 0, annotator="ann")
    assert ids_of(query.peek(1)) == [0]


def test_a_failed_commit_leaves_no_trace_in_memory(store: LabelStore, monkeypatch: Any) -> None:
    query = publish(store, allowed=5)
    query.lease("ann#1", 1, annotator="ann")

    class DiskFullError(Exception):
        pass

    def fail(*_: Any, **__: Any) -> None:
        raise DiskFullError

    with monkeypatch.context() as patch:
        patch.setattr(store.leases, "grant", fail)  # after the answer was read back
        with pytest.raises(DiskFullError):
            query.answer("ann#1", [NewAnswer(0, 1, "ann", 0)], 2, annotator="ann")
    assert store.answers() == []
    assert query.progress().labels == 0
    assert ids_of(query.lease("ann#1", 2, annotator="ann")) == [0, 1]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["lease", "label", "skip", "undo"]),
        st.integers(0, 9),
        st.sampled_from(["ann", "bob"]),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(EVENTS, st.integers(1, 2), st.sampled_from(["latest", "majority"]))
def test_a_query_that_follows_the_log_equals_one_that_reads_it_anew(
    events: list[tuple[str, int, str]], overlap: int, consensus: str
) -> None:
    with LabelStore(":memory:") as store:
        store.set_consensus(consensus)
        before = ("ann", "bob")[:overlap]
        for who in before:
            store.record(0, [(8, 1), (9, SKIP)], annotator=who)
        cut = store.cut(1)
        ordering = Ordering(np.arange(8))
        query = Query(store, cut, ordering, validation=[20, 21], overlap=overlap)
        query.allow(5)
        for kind, sample_id, who in events:
            if kind == "lease":
                query.lease(who, 2, annotator=who)
            elif kind != "undo" or query.has_answered(sample_id, who):
                label: Any = {"label": sample_id % 2, "skip": SKIP, "undo": UNDO}[kind]
                store.record(1, [(sample_id, label)], annotator=who)
                query.refresh()
            anew = Query(store, cut, ordering, validation=[20, 21], overlap=overlap)
            assert query.peek(99) == anew.peek(99)
            one, other = query.progress(), anew.progress()
            assert (one.labels, one.new_labels) == (other.labels, other.new_labels)
            assert one.is_exhausted == other.is_exhausted
            until = store.last_answer_id()
            assert one.labels == labels_since(
                store, cut=cut.last_answer_id, until=until, not_counted=[20, 21]
            )
            held = store.leases.unexpired(0.0)
            answered = store.in_force()
            open_leases = [key for key in held if key < 20 and key not in answered]
            if overlap == 1 and consensus == "latest":
                assert len(open_leases) <= 5


LEASE = """
import sys
import numpy as np
from lightning_badge.ordering import Ordering
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.leases import session_of
from lightning_badge.store.next_sample import Query

with LabelStore(sys.argv[1], timeout_s=60.0) as store:
    query = Query(store, store.cuts(0)[0], Ordering(np.arange(200)))
    while offers := query.lease(sys.argv[2], 3, annotator=sys.argv[2]):
        for offer in offers:
            print(offer.sample_id, flush=True)
        store.record(0, [(offer.sample_id, 0) for offer in offers], annotator=sys.argv[2])
"""


@pytest.mark.slow
def test_processes_that_lease_at_once_get_different_samples_within_the_allowance(
    tmp_path: Path,
) -> None:
    path = tmp_path / "labels.db"
    with LabelStore(path) as store:
        publish(store, range(200), allowed=100)
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", LEASE, str(path), name],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name in ("ann", "bob", "eve")
        ]
        found = [process.communicate() for process in processes]
        assert [errors for _, errors in found] == ["", "", ""]
        given = [int(line) for output, _ in found for line in output.split()]
        assert sorted(given) == list(range(100))
        assert len(store.answers()) == 100
