"""The module and the datamodule of lightning-hydra-template, smaller, as a project has them.

``MNISTLitModule`` takes its network and its optimizer from Hydra, keeps torchmetrics for each
stage, and calls ``log`` with ``on_step=False``; ``MNISTDataModule`` joins two data sets and splits
them with ``random_split`` in ``setup``. Only ``predict_dataloader`` is added.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from dense import assert_gains, model_gradients
from hydra.utils import instantiate
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from old_lightning import WHOLE
from omegaconf import OmegaConf
from tiny import LIGHTNING_WARNINGS, QUIET
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, Dataset, TensorDataset, random_split
from torchmetrics import MaxMetric, MeanMetric
from torchmetrics.classification.accuracy import Accuracy

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.ordering_file import read_ordering

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.slow]

CLASSES = 10


class SimpleDenseNet(nn.Module):
    def __init__(
        self,
        input_size: int = 64,
        lin1_size: int = 16,
        lin2_size: int = 16,
        lin3_size: int = 12,
        output_size: int = CLASSES,
    ) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(input_size, lin1_size),
            nn.BatchNorm1d(lin1_size),
            nn.ReLU(),
            nn.Linear(lin1_size, lin2_size),
            nn.BatchNorm1d(lin2_size),
            nn.ReLU(),
            nn.Linear(lin2_size, lin3_size),
            nn.BatchNorm1d(lin3_size),
            nn.ReLU(),
            nn.Linear(lin3_size, output_size),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch_size = x.size(0)
        return self.model(x.view(batch_size, -1))


class MNISTLitModule(LightningModule):
    def __init__(self, net: nn.Module, optimizer: Any, scheduler: Any, compile: bool) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False, ignore=["net"])
        self.net = net
        self.criterion = nn.CrossEntropyLoss()
        self.train_acc = Accuracy(task="multiclass", num_classes=CLASSES)
        self.val_acc = Accuracy(task="multiclass", num_classes=CLASSES)
        self.train_loss = MeanMetric()
        self.val_loss = MeanMetric()
        self.val_acc_best = MaxMetric()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def on_train_start(self) -> None:
        self.val_loss.reset()
        self.val_acc.reset()
        self.val_acc_best.reset()

    def model_step(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        x, y = batch
        logits = self.forward(x)
        loss = self.criterion(logits, y)
        preds = torch.argmax(logits, dim=1)
        return loss, preds, y

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        loss, preds, targets = self.model_step(batch)
        self.train_loss(loss)
        self.train_acc(preds, targets)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        loss, preds, targets = self.model_step(batch)
        self.val_loss(loss)
        self.val_acc(preds, targets)
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("val/acc", self.val_acc, on_step=False, on_epoch=True, prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        acc = self.val_acc.compute()
        self.val_acc_best(acc)
        self.log("val/acc_best", self.val_acc_best.compute(), sync_dist=True, prog_bar=True)

    def setup(self, stage: str) -> None:
        if self.hparams.compile and stage == "fit":
            self.net = torch.compile(self.net, backend="eager")

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = self.hparams.optimizer(params=self.trainer.model.parameters())
        scheduler = self.hparams.scheduler(optimizer=optimizer)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {
                "scheduler": scheduler,
                "monitor": "val/loss",
                "interval": "epoch",
                "frequency": 1,
            },
        }


def digits(n: int, seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % CLASSES
    noise = torch.randn(n, 1, 8, 8, generator=generator)
    return TensorDataset(noise + y[:, None, None, None] / CLASSES, y)


class MNISTDataModule(LightningDataModule):
    def __init__(
        self,
        train_val_test_split: tuple[int, int, int] = (120, 40, 40),
        batch_size: int = 32,
        num_workers: int = 0,
        pin_memory: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.data_train: Dataset[Any] | None = None
        self.data_val: Dataset[Any] | None = None
        self.data_test: Dataset[Any] | None = None
        self.data_pool: Dataset[Any] | None = None
        self.batch_size_per_device = batch_size

    def setup(self, stage: str | None = None) -> None:
        if self.trainer is not None:
            self.batch_size_per_device = self.hparams.batch_size // self.trainer.world_size
        if not self.data_train and not self.data_val and not self.data_test:
            dataset = ConcatDataset(datasets=[digits(150, 0), digits(50, 1)])
            self.data_train, self.data_val, self.data_test = random_split(
                dataset=dataset,
                lengths=self.hparams.train_val_test_split,
                generator=torch.Generator().manual_seed(42),
            )
            self.data_pool = digits(50, 2)

    def train_dataloader(self) -> DataLoader[Any]:
        return self.loader(self.data_train, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader(self.data_val)

    def test_dataloader(self) -> DataLoader[Any]:
        return self.loader(self.data_test)

    def predict_dataloader(self) -> DataLoader[Any]:
        return self.loader(self.data_pool)

    def loader(self, dataset: Any, shuffle: bool = False) -> DataLoader[Any]:
        return DataLoader(
            dataset=dataset,
            batch_size=self.batch_size_per_device,
            num_workers=self.hparams.num_workers,
            pin_memory=self.hparams.pin_memory,
            shuffle=shuffle,
        )

    def teardown(self, stage: str | None = None) -> None:
        pass

    def state_dict(self) -> dict[Any, Any]:
        return {}


def make_model(compile: bool = False) -> MNISTLitModule:
    config = OmegaConf.create(
        {
            "optimizer": {
                "_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001, "weight_decay": 0.0,
            },
            "scheduler": {
                "_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "_partial_": True,
                "mode": "min", "factor": 0.1, "patience": 10,
            },
        }
    )  # fmt: skip
    return MNISTLitModule(net=SimpleDenseNet(), compile=compile, **instantiate(config))


def train(root: Path, model: MNISTLitModule, **arguments: Any) -> tuple[Trainer, Any]:
    callbacks = [
        ModelCheckpoint(root / "checkpoints", "epoch_{epoch:03d}", monitor="val/acc", mode="max"),
        EarlyStopping("val/acc", patience=100, mode="max"),
        badge := BadgeCallback(seed=3, **arguments),
    ]
    settings = {**QUIET, "enable_checkpointing": True, "max_epochs": 3}
    trainer = Trainer(default_root_dir=root, callbacks=callbacks, deterministic=False, **settings)
    trainer.fit(model=model, datamodule=MNISTDataModule(), ckpt_path=None)
    return trainer, badge


def gradients_of(model: MNISTLitModule) -> Tensor:
    inputs = [digits(50, 2)[row][0][None] for row in range(50)]
    return model_gradients(model, "net.model.9", inputs, lambda exact, x: exact(x.double()))


def test_the_last_weights_order_the_pool(tmp_path: Path) -> None:
    model = make_model()
    _, badge = train(tmp_path, model)
    read = read_ordering(tmp_path / "badge" / "ordering.parquet")
    assert read.metadata["head"] == "net.model.9"
    assert read.metadata["loss_evidence"] == "CrossEntropyLoss 'criterion'"
    assert_gains(read, list(range(50)), gradients_of(model))
    assert badge.n_orderings == 1


def test_the_best_checkpoint_orders_the_pool(tmp_path: Path) -> None:
    model = make_model()
    trainer, badge = train(tmp_path, model, when="never")
    trainer.validate(model, datamodule=trainer.datamodule, ckpt_path="best", verbose=False, **WHOLE)
    assert badge.n_orderings == 1
    assert badge.ordering.metadata["checkpoint"] == trainer.checkpoint_callback.best_model_path
    assert_gains(badge.ordering, list(range(50)), gradients_of(model))


def test_a_compiled_network_orders_the_pool(tmp_path: Path) -> None:
    model = make_model(compile=True)
    _, badge = train(tmp_path, model)
    assert badge.ordering.metadata["head"] == "net.model.9"
    model.net = model.net._orig_mod
    assert_gains(badge.ordering, list(range(50)), gradients_of(model))
