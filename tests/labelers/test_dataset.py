from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers import DatasetLabelers
from lightning_badge.labels import SKIP
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import SampleId, as_sample_ids
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query

LABELS = {sample_id: sample_id % 10 for sample_id in range(2000)}


def query(store: LabelStore, *ids: Any, allowed: int | None = 3) -> Query:
    query = Query(store, store.cut(0), Ordering(as_sample_ids(ids)))
    query.allow(allowed)
    return query


def skipped(skip_fraction: float, seed: int = 0) -> set[SampleId]:
    labelers = DatasetLabelers(LABELS, skip_fraction=skip_fraction, seed=seed)
    return {sample_id for sample_id in LABELS if labelers.answer(sample_id) is SKIP}


def test_answers_are_in_the_order_of_the_query_with_their_ranks() -> None:
    with LabelStore(":memory:") as store:
        labelers = DatasetLabelers(LABELS)
        labelers.publish(query(store, 31, 5, 17, 4))
        answers = [answer for batch in labelers.collect() for answer in batch]
        assert [(a.sample_id, a.label, a.rank) for a in answers] == [
            (31, 1, 0),
            (5, 5, 1),
            (17, 7, 2),
        ]
        assert {(a.annotator, a.round) for a in answers} == {("dataset", 0)}
        assert labelers.to_do() is None


def test_nobody_answers_before_a_query_is_published() -> None:
    assert list(DatasetLabelers(LABELS).collect()) == []


def test_labels_of_arrays_become_plain_values() -> None:
    labelers = DatasetLabelers({0: torch.tensor(3), 1: np.array([1, 0])})
    assert [labelers.answer(1), labelers.answer(0)] == [[1, 0], 3]


def test_answers_are_computed_one_at_a_time() -> None:
    class Counting(dict[SampleId, int]):
        looked_up = 0

        def __getitem__(self, sample_id: SampleId) -> int:
            self.looked_up += 1
            return super().__getitem__(sample_id)

    labels = Counting(LABELS)
    with LabelStore(":memory:") as store:
        labelers = DatasetLabelers(labels)
        labelers.publish(query(store, *range(1000), allowed=900))
        answers: Any = labelers.collect()
        assert labels.looked_up == 0
        next(answers)
        next(answers)
        assert labels.looked_up == 2
        answers.close()


@given(st.permutations(range(40)))
def test_skips_depend_only_on_seed_and_id(order: list[int]) -> None:
    first = DatasetLabelers(LABELS, skip_fraction=0.4, seed=3)
    again = DatasetLabelers(LABELS, skip_fraction=0.4, seed=3)
    assert {n: first.answer(n) for n in order} == {n: again.answer(n) for n in range(40)}


def test_a_larger_fraction_skips_the_same_samples_and_more() -> None:
    assert skipped(0.0) == set()
    assert 0.07 < len(skipped(0.1)) / len(LABELS) < 0.13
    assert skipped(0.1) < skipped(0.5)
    assert skipped(0.5, seed=1) != skipped(0.5, seed=0)


@pytest.mark.parametrize(
    ("ids", "says"),
    [
        ([4, 2000, -1], r"no label for sample ids 2000, -1; there are 2000 labels"),
        (["4"], r"no label for sample ids '4'; .* such as 0, 1, 2$"),
    ],
)
def test_unknown_ids_are_an_error_before_the_first_answer(ids: list[Any], says: str) -> None:
    with LabelStore(":memory:") as store:
        labelers = DatasetLabelers(LABELS)
        labelers.publish(query(store, *ids))
        with pytest.raises(LabelError, match=says):
            next(labelers.collect())
        assert store.leases.unexpired(0.0) == {}


@pytest.mark.parametrize("wrong", [-0.1, 1, 1.0, float("nan"), "0.1", True, None])
def test_a_skip_fraction_outside_its_range_is_an_error(wrong: Any) -> None:
    with pytest.raises(LabelError, match=r"labelers\.skip_fraction: expected a number in \[0, 1\)"):
        DatasetLabelers(LABELS, skip_fraction=wrong)


def test_a_list_of_labels_is_an_error() -> None:
    with pytest.raises(LabelError, match=r"expected a mapping .* got list; pass dict\(enumerate"):
        DatasetLabelers([5, 0, 1])  # type: ignore[arg-type]


def answered(labelers: DatasetLabelers, store: LabelStore, asked: Query) -> list[tuple[Any, str]]:
    labelers.publish(asked)
    return commit(store, labelers.collect())


def commit(store: LabelStore, batches: Any) -> list[tuple[Any, str]]:
    found = []
    for batch in batches:
        store.add(batch)
        found += [(answer.sample_id, answer.annotator) for answer in batch]
    return found


def test_several_annotators_take_turns() -> None:
    with LabelStore(":memory:") as store:
        labelers = DatasetLabelers(LABELS, annotators=2)
        asked = query(store, *range(9), allowed=5)
        assert answered(labelers, store, asked) == [(n, f"dataset-{n % 2}") for n in range(5)]


def test_several_annotators_answer_the_same_samples_where_they_overlap() -> None:
    with LabelStore(":memory:") as store:
        labelers = DatasetLabelers(LABELS, annotators=2)
        asked = Query(store, store.cut(0), Ordering(np.arange(3)), overlap=2)
        asked.allow(None)
        found = answered(labelers, store, asked)
        assert sorted(found) == [(n, f"dataset-{who}") for n in range(3) for who in range(2)]


def test_they_go_home_after_their_hours() -> None:
    with LabelStore(":memory:") as store:
        labelers = DatasetLabelers(LABELS, annotators=2, rate=8, hours=0.25)
        asked = query(store, *range(99), allowed=50)
        assert len(answered(labelers, store, asked)) == 4
        assert {answer.seconds for answer in store.answers()} == {450.0}
        assert answered(labelers, store, asked) == []  # also after a restart


def test_wrong_labels_are_as_many_as_the_noise_and_do_not_change() -> None:
    one, other = (DatasetLabelers(LABELS, noise=0.2, annotators=2) for _ in range(2))
    wrong = [
        {n for n in LABELS if labelers.answer(n, who) != LABELS[n]}
        for labelers, who in [(one, "dataset-0"), (other, "dataset-0"), (one, "dataset-1")]
    ]
    assert wrong[0] == wrong[1] != wrong[2]
    assert 0.17 < len(wrong[0]) / len(LABELS) < 0.23
    assert all(one.answer(n, "dataset-0") in range(10) for n in LABELS)
    more = DatasetLabelers(LABELS, noise=0.5)
    few = DatasetLabelers(LABELS, noise=0.1)
    assert {n for n in LABELS if few.answer(n) != n % 10} < {
        n for n in LABELS if more.answer(n) != n % 10
    }


def test_late_answers_are_those_of_the_hours_of_training_in_any_number_of_parts() -> None:
    labelers = DatasetLabelers(LABELS, rate=4, training_hours=1.5)
    found = []
    for parts in ([99], [2, 1, 99]):
        with LabelStore(":memory:") as store:
            asked = query(store, *range(50), allowed=None)
            store.record(0, [(n, 0) for n in range(3)], annotator="dataset")
            cut = store.cut(1)
            for part in parts:
                batches: Any = labelers.late_answers(asked, after=cut.last_answer_id)
                for _, batch in zip(range(part), batches, strict=False):
                    store.add(batch)
                batches.close()
            found.append([answer.sample_id for answer in store.answers()])
    assert found[0] == found[1] == list(range(9))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"noise": 1}, r"labelers\.noise: expected a number in \[0, 1\), got 1"),
        ({"annotators": 0}, r"labelers\.annotators: expected an integer of 1 or more, got 0"),
        ({"rate": -1}, r"labelers\.rate: expected a positive number or null, got -1"),
        ({"hours": 2}, r"labelers\.hours=2: expected labelers\.rate too"),
        ({"training_hours": 2}, r"labelers\.training_hours=2: expected labelers\.rate too"),
    ],
)
def test_settings_that_make_no_sense_are_an_error(arguments: Any, says: str) -> None:
    with pytest.raises(LabelError, match=says):
        DatasetLabelers(LABELS, **arguments)
