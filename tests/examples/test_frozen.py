"""Heads over features, with the loop's kind of Trainer, callbacks and checkpoints."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny import LIGHTNING_WARNINGS
from torch.utils.data import DataLoader, TensorDataset

from lightning_badge import BadgeCallback, read_ordering
from lightning_badge.examples.frozen import LogisticHead, MLPHead, frozen
from lightning_badge.examples.logistic import fit_logistic

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
]

WIDTH, CLASSES = 6, 3
# Those of configs/trainer/default.yaml, and plain ones.
TRAINERS: list[dict[str, Any]] = [
    {
        "max_epochs": -1,
        "max_steps": 300,
        "val_check_interval": 50,
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "deterministic": True,
    },
    {"max_epochs": 1},
    {"max_epochs": 20},
]


def data(n: int, multilabel: bool = False, seed: int = 0) -> TensorDataset:
    features = torch.randn(n, WIDTH, generator=torch.Generator().manual_seed(seed))
    labels = features[:, :CLASSES].argmax(1)
    return TensorDataset(features, (features[:, :CLASSES] > 0).float() if multilabel else labels)


def trained(model: Any, root: Path, limits: dict[str, Any], multilabel: bool = False) -> Trainer:
    trainer = Trainer(
        default_root_dir=root,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            ModelCheckpoint(root, "best", monitor="val/accuracy", mode="max"),
            BadgeCallback(dirpath=root, pool=DataLoader(data(50, multilabel, 2)), when="never"),
        ],
        **limits,
    )
    loader = DataLoader(data(100, multilabel), batch_size=8, shuffle=True)
    trainer.fit(model, loader, DataLoader(data(60, multilabel, 1), batch_size=60))
    return trainer


@pytest.mark.parametrize("limits", TRAINERS)
@pytest.mark.parametrize("multilabel", [False, True])
def test_one_step_solves_the_problem_for_all_batches(
    tmp_path: Path, limits: dict[str, Any], multilabel: bool
) -> None:
    model = LogisticHead(CLASSES, WIDTH, l2=0.1, multilabel=multilabel)
    trainer = trained(model, tmp_path, limits, multilabel)
    assert trainer.global_step == 1
    features, targets = data(100, multilabel).tensors
    scale = 1 / features.square().sum(1).mean().sqrt()
    fit = fit_logistic(features * scale, targets, CLASSES, l2=0.1, multilabel=multilabel)
    torch.testing.assert_close(model.head.weight, fit.weight.float(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(model.head.bias, fit.bias.float(), rtol=1e-3, atol=1e-3)
    (metrics,) = trainer.validate(
        model, DataLoader(data(60, multilabel, 1)), ckpt_path=tmp_path / "best.ckpt", verbose=False
    )
    assert metrics["val/accuracy"] > 0.9
    assert len(read_ordering(tmp_path / "ordering.parquet")) == 50


def test_the_checkpoint_predicts_in_plain_lightning(tmp_path: Path) -> None:
    model = LogisticHead(CLASSES, WIDTH)
    trained(model, tmp_path, TRAINERS[1])
    loaded = LogisticHead.load_from_checkpoint(tmp_path / "best.ckpt")
    features, labels = data(60, seed=1).tensors
    assert torch.equal(loaded(features), model(features))
    assert (loaded(features).argmax(1) == labels).float().mean() > 0.9


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no")
def test_the_scale_of_features_changes_nothing() -> None:
    small, large = (LogisticHead(CLASSES, WIDTH) for _ in range(2))
    features, targets = data(100).tensors
    for model, factor in ((small, 1e-3), (large, 1e3)):
        trainer = Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(model, DataLoader(TensorDataset(features * factor, targets), batch_size=100))
    torch.testing.assert_close(small(features * 1e-3), large(features * 1e3), rtol=1e-3, atol=1e-3)


def test_the_mlp_takes_as_many_steps_as_the_trainer_allows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = frozen(CLASSES, WIDTH, head="mlp", hidden=16)
    assert isinstance(model, MLPHead)
    trainer = trained(model, tmp_path, {"max_steps": 100, "max_epochs": -1})
    assert trainer.global_step == 100
    assert trainer.callback_metrics["val/accuracy"] > 0.7


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(MisconfigurationException, match="expected one of logistic, mlp, got 'svm'"):
        frozen(CLASSES, WIDTH, head="svm")
    with pytest.raises(MisconfigurationException, match="a number above 0, got 0"):
        LogisticHead(CLASSES, WIDTH, l2=0)
