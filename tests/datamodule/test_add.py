"""Samples that are added to the pool of a datamodule."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from lightning_badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.held_back import HeldBackLabels
from lightning_badge.exceptions import LabelError

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
]


def samples(n: int, first: int = 0) -> TensorDataset:
    """Samples whose only number says which they are."""
    return TensorDataset(torch.arange(first, first + n).float()[:, None], torch.arange(n) % 3)


def pool_of(datamodule: ActiveLearningDataModule) -> dict[Any, float]:
    return {
        sample_id: float(x)
        for batch in datamodule.pool_dataloader()
        for sample_id, x in zip(batch.sample_ids, batch.batch[0], strict=True)
    }


class Linear(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.log("val/loss", self.training_step(batch, batch_idx))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def test_added_samples_are_in_the_pool_behind_the_others() -> None:
    datamodule = ActiveLearningDataModule(samples(6), initial_labeled=[0, 4])
    datamodule.discard([5])
    datamodule.add(samples(3, 6))
    datamodule.add(samples(2, 9))
    assert datamodule.sample_ids.tolist() == list(range(11))
    assert datamodule.labeled_ids.tolist() == [0, 4]
    assert pool_of(datamodule) == {key: float(key) for key in (1, 2, 3, 6, 7, 8, 9, 10)}


def test_added_samples_are_labeled_as_others() -> None:
    datamodule = ActiveLearningDataModule(samples(6), initial_labeled=[0], batch_size=4)
    datamodule.add(samples(3, 6))
    datamodule.label({7: 2, 1: 0})
    assert datamodule.labels_dict() == {0: 0, 1: 0, 7: 2}
    x, y = next(iter(datamodule.train_dataloader()))
    assert dict(zip(x.flatten().tolist(), y.tolist(), strict=True)) == {0.0: 0, 1.0: 0, 7.0: 2}


def test_a_state_from_before_leaves_added_samples_in_the_pool() -> None:
    datamodule = ActiveLearningDataModule(samples(6), initial_labeled=[0])
    state = datamodule.labeled_state()
    datamodule.add(samples(2, 6))
    datamodule.label([6, 7, 3])
    datamodule.restore(state)
    assert datamodule.pool_ids.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_known_targets_of_added_samples_are_held_back() -> None:
    datamodule = ActiveLearningDataModule(samples(4), labels=[0, 1, 2, 0], initial_labeled=[0])
    datamodule.add(samples(2, 4), labels=[2, 1])
    assert datamodule.held_back_labels() == {0: 0, 1: 1, 2: 2, 3: 0, 4: 2, 5: 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_ids": ["a", "b"]}, "a"),
        ({"sample_ids": ["x"]}, "an id for each of 2 samples, got 1"),
        ({"sample_ids": ["x", 7]}, "all int or all str"),
        ({}, "expected sample_ids="),
        ({"sample_ids": ["x", "y"], "labels": [0, 1]}, "expected no labels="),
        ({"sample_ids": ["x", "y"], "evaluation_view": samples(3)}, "evaluation_view"),
    ],
)
def test_an_error_adds_nothing(arguments: dict[str, Any], message: str) -> None:
    datamodule = ActiveLearningDataModule(samples(3), sample_ids=["a", "c", "d"], initial_labeled=0)
    with pytest.raises(LabelError, match=message):
        datamodule.add(samples(2, 3), **arguments)
    assert datamodule.sample_ids.tolist() == ["a", "c", "d"]
    assert len(pool_of(datamodule)) == 3


def test_a_simulation_needs_the_targets_of_added_samples() -> None:
    datamodule = ActiveLearningDataModule(samples(3), labels=[0, 1, 2], initial_labeled=0)
    with pytest.raises(LabelError, match="expected labels="):
        datamodule.add(samples(2, 3))


@pytest.mark.slow
def test_between_two_trainings_the_callback_orders_added_samples(tmp_path: Path) -> None:
    datamodule = ActiveLearningDataModule(samples(12), val=samples(4), initial_labeled=[0, 1, 2])
    orderings = []
    for _ in range(2):
        badge = BadgeCallback(dirpath=tmp_path, head="head", loss="cross_entropy")
        quiet = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False}
        trainer = Trainer(max_epochs=1, accelerator="cpu", callbacks=[badge], **quiet)
        trainer.fit(Linear(), datamodule=datamodule)
        assert badge.ordering is not None
        orderings.append(sorted(badge.ordering))
        datamodule.add(samples(5, 12))
    assert orderings == [list(range(3, 12)), list(range(3, 17))]


def test_simulated_labelers_know_what_was_added() -> None:
    datamodule = ActiveLearningDataModule(samples(3), labels=[0, 1, 2], initial_labeled=0)
    labels = HeldBackLabels(datamodule)
    assert dict(labels) == {0: 0, 1: 1, 2: 2}
    datamodule.add(samples(1, 3), labels=[2])
    assert labels[3] == 2
    assert len(labels) == 4
