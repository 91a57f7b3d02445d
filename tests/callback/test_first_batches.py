"""Which part of the pool is ordered under ``limit_predict_batches`` and ``fast_dev_run``."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from tiny import LIGHTNING_WARNINGS, QUIET, Classifier, blobs, fit, loader, validate
from torch.utils.data import DataLoader, Dataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule

pytestmark = LIGHTNING_WARNINGS


class Reads(Dataset[Any]):
    """Remembers which of its items were read."""

    def __init__(self) -> None:
        self.read: set[int] = set()

    def __len__(self) -> int:
        return 40

    def __getitem__(self, position: int) -> Any:
        self.read.add(position)
        return blobs(40)[position]


@pytest.mark.parametrize(
    ("arguments", "n"),
    [
        ({"fast_dev_run": True}, 8),
        ({"fast_dev_run": 3}, 24),
        ({"fast_dev_run": 9}, 40),
        ({"limit_predict_batches": 2}, 16),
        ({"limit_predict_batches": 0.4}, 16),
        ({"limit_predict_batches": 1.0}, 40),
        ({"limit_predict_batches": 5}, 40),
        ({}, 40),
    ],
)
def test_a_limit_orders_the_first_batches_and_is_named(
    tmp_path: Path, arguments: dict[str, Any], n: int, caplog: pytest.LogCaptureFixture
) -> None:
    data = Reads()
    callback = BadgeCallback(pool=DataLoader(data, batch_size=8), seed=1)
    with caplog.at_level(logging.INFO):
        fit(tmp_path, callback, **arguments)
    assert sorted(callback.ordering) == list(range(n))
    (limit,) = arguments or {"none": 0}
    named = [text for text in caplog.messages if f"{limit} limits the pool" in text]
    assert len(named) == (n < 40)


def test_a_trial_of_a_large_pool_reads_little_of_it(tmp_path: Path) -> None:
    data = Reads()
    fit(tmp_path, BadgeCallback(pool=DataLoader(data, batch_size=4)), fast_dev_run=True)
    # Targets of the first 16 items, and 12 items to see that they do not change between two reads.
    assert len(data.read) <= 16 + 12 < 40


def test_the_part_is_ordered_as_a_pool_of_its_own(tmp_path: Path) -> None:
    part, whole = (
        BadgeCallback(pool=pool, seed=1)
        for pool in (loader(16, batch_size=8), loader(40, batch_size=8))
    )
    torch.manual_seed(0)
    model = Classifier()
    validate(tmp_path, part, model)
    validate(tmp_path, whole, model, limit_predict_batches=2)
    assert list(part.ordering) == list(whole.ordering)
    assert part.ordering.gains.tolist() == pytest.approx(whole.ordering.gains.tolist(), nan_ok=True)


def test_no_batches_are_an_empty_pool(tmp_path: Path) -> None:
    callback = BadgeCallback(pool=loader(20))
    with pytest.warns(UserWarning, match="pool is empty"):
        validate(tmp_path, callback, limit_predict_batches=0)
    assert callback.ordering is None


@pytest.mark.parametrize("strategy", ["badge_labeled", "bald"])
def test_a_trial_run_limits_every_pass(
    tmp_path: Path, strategy: str, caplog: pytest.LogCaptureFixture
) -> None:
    datamodule = ActiveLearningDataModule(
        blobs(60), blobs(12), initial_labeled=20, batch_size=8, sample_ids=range(100, 160)
    )
    callback = BadgeCallback(strategy, posterior_samples=3)
    trainer = Trainer(callbacks=[callback], default_root_dir=tmp_path, **QUIET, fast_dev_run=True)
    with caplog.at_level(logging.INFO):
        trainer.fit(Classifier(), datamodule=datamodule)
    assert sorted(callback.ordering) == datamodule.pool_ids[:8].tolist()
    assert ("limits the labeled set" in caplog.text) == (strategy == "badge_labeled")
