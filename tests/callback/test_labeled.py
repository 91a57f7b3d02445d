"""Strategies that keep away from the labeled set, through the callback and a real datamodule."""

from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from tiny import LIGHTNING_WARNINGS, QUIET, Classifier, blobs, loader

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule

pytestmark = LIGHTNING_WARNINGS


def ordered(
    tmp_path: Path, strategy: str, initial_labeled: int
) -> tuple[BadgeCallback, ActiveLearningDataModule, Classifier]:
    datamodule = ActiveLearningDataModule(blobs(60), blobs(12), initial_labeled=initial_labeled)
    callback, model = BadgeCallback(strategy=strategy), Classifier()
    trainer = Trainer(callbacks=[callback], default_root_dir=tmp_path, **QUIET)
    trainer.validate(model, datamodule=datamodule, verbose=False)
    return callback, datamodule, model


@pytest.mark.parametrize("strategy", ["badge_labeled", "coreset"])
@pytest.mark.parametrize("initial_labeled", [0, 20])
def test_the_pool_is_ordered_away_from_the_labeled_set(
    tmp_path: Path, strategy: str, initial_labeled: int
) -> None:
    callback, datamodule, _ = ordered(tmp_path, strategy, initial_labeled)
    assert sorted(callback.ordering) == datamodule.pool_ids.tolist()


def test_the_first_of_coreset_is_farthest_from_all_labeled_activations(tmp_path: Path) -> None:
    callback, datamodule, model = ordered(tmp_path, "coreset", 20)
    inputs = blobs(60).tensors[0]
    with torch.no_grad():
        hidden = model.eval().network[:2](inputs).double()
    nearest = torch.cdist(hidden, hidden[torch.from_numpy(datamodule.labeled_ids)]).amin(1)
    assert callback.ordering.sample_ids[0] == int(nearest.argmax())
    np.testing.assert_allclose(callback.ordering.gains[0], float(nearest.max()) ** 2, rtol=1e-4)


def test_without_a_labeled_loader_the_need_is_said_before_training(tmp_path: Path) -> None:
    trainer = Trainer(
        callbacks=[BadgeCallback(strategy="badge_labeled", pool=loader(9))],
        default_root_dir=tmp_path,
        **QUIET,
    )
    with pytest.raises(MisconfigurationException, match="labeled_dataloader"):
        trainer.fit(Classifier(), loader(16), loader(16))
