"""What cannot be labeled is found when the data are made or labeled, and changes nothing."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.placeholder import is_placeholder
from lightning_badge.exceptions import LabelError

KEY = r"target_key=1: the data set yields a dict with the keys 'x', 'topic'; name the entry"


def topics(*values: Any) -> list[dict[str, Any]]:
    return [{"x": torch.ones(2), "topic": value} for value in values]


@pytest.mark.parametrize("initial", [[1], 2, {1: 0}])
def test_a_forgotten_target_key_is_found_when_the_data_are_made(initial: Any) -> None:
    with pytest.raises(LabelError, match=KEY):
        ActiveLearningDataModule(topics(0, 1, 2), initial_labeled=initial)


def test_a_pool_without_labels_is_a_warning_because_it_can_be_ordered() -> None:
    with pytest.warns(UserWarning, match=f"{KEY}.*; until then no sample can be labeled"):
        datamodule = ActiveLearningDataModule(topics(0, 1), initial_labeled=[])
    assert len(datamodule.pool_ids) == 2
    with pytest.raises(LabelError, match=KEY):
        datamodule.label({1: 0})


@pytest.mark.parametrize(
    "placeholder",
    [-1, -100, None, math.nan, "", torch.tensor(-1), np.int64(-1), torch.tensor([-1.0, -1.0])],
)
def test_a_placeholder_is_no_label(placeholder: Any) -> None:
    data = topics(0, 1, placeholder, placeholder)
    ids = ["a", "b", "c", "d"]
    datamodule = ActiveLearningDataModule(
        data, initial_labeled=["a"], sample_ids=ids, target_key="topic"
    )
    message = r"expected labels for 'd', 'c', which have none .* pass label\(ids, labels\)"
    with pytest.raises(LabelError, match=message):
        datamodule.label(["d", "b", "c"])
    assert datamodule.labeled_ids.tolist() == ["a"]
    datamodule.label(["b"])
    assert datamodule.labeled_ids.tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "target", [0, 0.0, -0.5, True, [0, 0], [-1, 0], "cat", np.full((2, 2), -1)]
)
def test_these_are_labels(target: Any) -> None:
    assert not is_placeholder(target)


def test_what_begins_without_a_label_is_found_at_once_or_when_it_is_trained_on() -> None:
    with pytest.raises(LabelError, match="expected labels for 1,"):
        ActiveLearningDataModule([([0.0], 0), ([1.0], -1)], initial_labeled=[1, 0])
    with pytest.raises(LabelError, match="expected labels for 1,"):  # without loading a sample
        ActiveLearningDataModule([([0.0], 0)] * 2, initial_labeled=[0, 1], labels=[0, -1])
    datamodule = ActiveLearningDataModule([([0.0], 0), ([1.0], -1)], initial_labeled=[0, 1])
    with pytest.raises(LabelError, match="expected labels for 1, .* the placeholder -1"):
        list(datamodule.train_dataloader())
    assert len(list(datamodule.labeled_dataloader())) == 1


@pytest.mark.parametrize("label", [-1, 3, 7, -1.0, 3.0, [0.0, 2.0, 1.0]])
def test_labels_of_no_class_are_refused(label: Any) -> None:
    target = torch.zeros(3) if isinstance(label, list) else 0
    data = [([0.0], target)] * 4
    datamodule = ActiveLearningDataModule(data, initial_labeled=[0], class_names=["a", "b", "c"])
    with pytest.raises(LabelError, match=r"^label .*: expected (a class from 0 to 2|0 or 1)"):
        datamodule.label([2, 1], [target, label])
    assert datamodule.labeled_ids.tolist() == [0]
    with pytest.raises(LabelError, match="expected"):
        ActiveLearningDataModule(data, initial_labeled={0: label}, class_names=["a", "b", "c"])


def test_without_class_names_negative_classes_are_refused() -> None:
    datamodule = ActiveLearningDataModule([([0.0], 0)] * 4, initial_labeled=[0])
    with pytest.raises(LabelError, match=r"label -1: expected a class from 0 on; leave out"):
        datamodule.label({1: 5, 2: -1})
    datamodule.label({1: 5})
    values = ActiveLearningDataModule([([0.0], 0.5)] * 4, initial_labeled=[0])
    values.label({1: -2.5})  # a number that is predicted, not a class
    assert values.labels_dict() == {0: 0.5, 1: -2.5}


class Augmented(Dataset[tuple[torch.Tensor, int]]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        return torch.rand(2), position % 2


def test_looking_at_samples_draws_nothing() -> None:
    before = torch.get_rng_state()
    datamodule = ActiveLearningDataModule(Augmented(), initial_labeled=[0])
    datamodule.label([1])
    datamodule.label({2: 1})
    assert torch.equal(before, torch.get_rng_state())
