"""Samples of the training data that are for validation once they are labeled."""

from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError


def make(**arguments: Any) -> ActiveLearningDataModule:
    data = TensorDataset(torch.arange(20.0)[:, None], torch.full((20,), -1))
    given = {"initial_labeled": {0: 1, 1: 0}, "validation_ids": [7, 3, 12], **arguments}
    return ActiveLearningDataModule(data, **given)


def test_they_are_neither_in_the_pool_nor_in_the_labeled_set() -> None:
    datamodule = make()
    assert datamodule.validation_ids.tolist() == [7, 3, 12]
    assert not {7, 3, 12} & set(datamodule.pool_ids.tolist())
    datamodule.label({3: 1, 5: 0})
    assert datamodule.labeled_ids.tolist() == [0, 1, 5]
    assert datamodule.labels_dict() == {0: 1, 1: 0, 5: 0}
    trained = torch.cat([x for x, _ in datamodule.train_dataloader()]).flatten()
    assert sorted(trained.tolist()) == [0, 1, 5]
    pool = torch.cat([batch.batch[0] for batch in datamodule.pool_dataloader()])
    assert pool.flatten().tolist() == datamodule.pool_ids.tolist()
    assert len(datamodule.sample_ids) == 20


def test_they_validate_as_soon_as_they_are_labeled() -> None:
    datamodule = make()
    assert (datamodule.plans_validation, datamodule.has_validation) == (True, False)
    datamodule.label({12: 1, 3: 0})
    assert datamodule.has_validation
    (batch,) = list(datamodule.val_dataloader())
    assert [part.flatten().tolist() for part in batch] == [[3, 12], [0, 1]]
    datamodule.unlabel([3])
    (batch,) = list(datamodule.val_dataloader())
    assert batch[1].tolist() == [1]


def test_without_them_nothing_is_planned() -> None:
    assert not make(validation_ids=()).plans_validation


def test_they_do_not_go_with_validation_data() -> None:
    data = TensorDataset(torch.zeros(2, 1), torch.zeros(2).long())
    with pytest.raises(LabelError, match="validation_ids: expected none beside val="):
        make(val=data)


def test_unknown_ones_are_an_error() -> None:
    with pytest.raises(LabelError, match="expected ids of the training data, got 99"):
        make(validation_ids=[99])
