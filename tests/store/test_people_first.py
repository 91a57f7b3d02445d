"""``consensus=people_first``: what models and people get of a query."""

from typing import Any

import numpy as np
import pytest

from lightning_badge.labels import SKIP
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Offer, Query

MODEL = "model:a"
COUNT = 10


@pytest.fixture
def store() -> Any:
    with LabelStore(":memory:") as store:
        store.set_consensus("people_first")
        yield store


def publish(store: LabelStore, allowed: int | None, **arguments: Any) -> Query:
    """A query of a model that predicts class 0 for all samples."""
    ordering = Ordering(np.arange(COUNT), hallucinated_label=np.zeros(COUNT, np.int32))
    query = Query(store, store.cut(0), ordering, **arguments)
    query.allow(allowed)
    return query


def answered(query: Query, offer: Offer, label: Any, annotator: str = MODEL) -> None:
    guess = query.guess_at(offer.rank) if annotator == MODEL else None
    query.store.add(
        [NewAnswer(offer.sample_id, label, annotator, offer.round, offer.rank, guess=guess)]
    )


def ids_of(offers: list[Offer]) -> list[Any]:
    return [offer.sample_id for offer in offers]


def test_people_get_first_what_a_model_contests_and_their_answer_is_in_force(
    store: LabelStore,
) -> None:
    query = publish(store, None)
    for offer, label in zip(query.lease(MODEL, 4, annotator=MODEL), (0, 1, SKIP, 0), strict=True):
        answered(query, offer, label)
    assert store.labels() == {0: 0, 3: 0}
    assert query.undecided() == 2
    assert ids_of(query.lease(MODEL, 2, annotator=MODEL)) == [4, 5]
    offers = query.lease("ann#1", 4, annotator="ann")
    assert ids_of(offers) == [1, 2, 6, 7]
    answered(query, offers[0], 1, "ann")
    answered(query, offers[1], 0, "ann")
    assert store.labels() == {0: 0, 3: 0, 1: 1, 2: 0}
    assert query.undecided() == 0


def test_another_model_does_not_decide(store: LabelStore) -> None:
    query = publish(store, None)
    answered(query, query.lease(MODEL, 1, annotator=MODEL)[0], 1)
    assert ids_of(query.lease("model:b", 2, annotator="model:b")) == [1, 2]
    assert ids_of(query.peek(1)) == [0]


def test_a_model_answers_at_most_what_the_allowance_permits(store: LabelStore) -> None:
    """Samples that wait for people count, or a model would answer the easy ones instead."""
    query = publish(store, 3)
    for label in (1, 0, 1):
        answered(query, query.lease(MODEL, 1, annotator=MODEL)[0], label)
    assert query.left() == 2
    assert query.lease(MODEL, 1, annotator=MODEL) == []
    offers = query.lease("ann#1", 5, annotator="ann")
    assert ids_of(offers) == [0, 2]
    answered(query, offers[0], SKIP, "ann")  # makes room for another sample
    assert ids_of(query.lease(MODEL, 5, annotator=MODEL)) == [3]


def test_people_label_what_validates(store: LabelStore) -> None:
    query = publish(store, None, validation=[90, 91])
    assert ids_of(query.lease(MODEL, 4, annotator=MODEL)) == [0, 1, 2, 3]
    assert ids_of(query.lease("ann#1", 3, annotator="ann")) == [90, 91, 4]


def test_what_waits_for_people_is_in_the_next_query_too(store: LabelStore) -> None:
    answered(first := publish(store, 2), first.lease(MODEL, 1, annotator=MODEL)[0], 1)
    store.record(0, [(5, 0)], annotator="ann")
    query = Query(store, store.cut(1), Ordering(np.arange(6, 9)))  # it ranks a part of the pool
    query.allow(None)
    assert ids_of(query.lease("ann#1", 2, annotator="ann")) == [0, 6]
    assert ids_of(query.lease(MODEL, 2, annotator=MODEL)) == [7, 8]


def test_with_other_rules_a_model_is_one_annotator_among_others(store: LabelStore) -> None:
    store.set_consensus("latest")
    query = publish(store, None, validation=[9, 8])
    answered(query, query.lease(MODEL, 1, annotator=MODEL)[0], 1)
    assert store.labels() == {0: 1}
    assert query.undecided() == 0
    assert ids_of(query.lease(MODEL, 2, annotator=MODEL)) == [1, 9]
