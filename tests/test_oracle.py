from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP
from lightning_badge.oracle import DatasetOracle, Oracle
from lightning_badge.sample_ids import SampleId

LABELS = {sample_id: sample_id % 10 for sample_id in range(2000)}


def skipped(skip_fraction: float, seed: int = 0) -> set[SampleId]:
    oracle = DatasetOracle(LABELS, skip_fraction=skip_fraction, seed=seed)
    return {sample_id for sample_id, label in oracle.answer(LABELS) if label is SKIP}


def test_answers_are_in_the_given_order() -> None:
    oracle: Oracle = DatasetOracle(LABELS)
    assert list(oracle.answer([31, 5, 31])) == [(31, 1), (5, 5), (31, 1)]
    assert oracle.name == "dataset"


def test_ids_and_labels_of_arrays_become_plain_values() -> None:
    oracle = DatasetOracle({0: torch.tensor(3), 1: np.array([1, 0])})
    answers = list(oracle.answer(np.array([1, 0])))
    assert answers == [(1, [1, 0]), (0, 3)]
    assert [type(sample_id) for sample_id, _ in answers] == [int, int]


def test_answers_are_computed_one_at_a_time() -> None:
    class Counting(dict[SampleId, int]):
        looked_up = 0

        def __getitem__(self, sample_id: SampleId) -> int:
            self.looked_up += 1
            return super().__getitem__(sample_id)

    labels = Counting(LABELS)
    answers = DatasetOracle(labels).answer(range(1000))
    assert labels.looked_up == 0
    assert [next(answers), next(answers)] == [(0, 0), (1, 1)]
    assert labels.looked_up == 2


@given(st.permutations(range(40)), st.integers(0, 40))
def test_skips_depend_only_on_seed_and_id(order: list[int], cut: int) -> None:
    one_go = dict(DatasetOracle(LABELS, skip_fraction=0.4, seed=3).answer(range(40)))
    resumed = DatasetOracle(LABELS, skip_fraction=0.4, seed=3)
    assert dict(resumed.answer(order[:cut])) | dict(resumed.answer(order[cut:])) == one_go


def test_a_larger_fraction_skips_the_same_samples_and_more() -> None:
    assert skipped(0.0) == set()
    assert 0.07 < len(skipped(0.1)) / len(LABELS) < 0.13
    assert skipped(0.1) < skipped(0.5)
    assert skipped(0.5, seed=1) != skipped(0.5, seed=0)


def test_unknown_ids_raise_an_error_at_the_call() -> None:
    with pytest.raises(LabelError, match=r"no label for sample ids 2000, -1; it holds 2000 labels"):
        DatasetOracle(LABELS).answer([4, 2000, -1])


def test_ids_of_the_wrong_type_raise_an_error_with_examples() -> None:
    with pytest.raises(LabelError, match=r"no label for sample ids '4'; .* such as 0, 1, 2$"):
        DatasetOracle(LABELS).answer(["4"])


@pytest.mark.parametrize("wrong", [-0.1, 1, 1.0, float("nan"), "0.1", True, None])
def test_a_skip_fraction_outside_its_range_is_an_error(wrong: Any) -> None:
    with pytest.raises(LabelError, match=r"oracle\.skip_fraction: expected a number in \[0, 1\)"):
        DatasetOracle(LABELS, skip_fraction=wrong)


def test_a_list_of_labels_is_an_error() -> None:
    with pytest.raises(LabelError, match=r"expected a mapping .* got list; pass dict\(enumerate"):
        DatasetOracle([5, 0, 1])  # type: ignore[arg-type]
