"""Small models, data and Trainers for tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from lightning_badge.callback.badge import BadgeCallback

WIDTH, HIDDEN, CLASSES = 4, 8, 3

QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "max_epochs": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}

# Each is raised by Lightning about itself or about how small these Trainers are.
LIGHTNING_WARNINGS = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The number of training batches .* is smaller than"),
    pytest.mark.filterwarnings("ignore:`pin_memory`"),
]


def needs_gpu(test: Callable[..., None]) -> Callable[..., None]:
    is_missing = not torch.cuda.is_available()
    return pytest.mark.gpu(pytest.mark.skipif(is_missing, reason="needs a CUDA device")(test))


def blobs(n: int = 40, seed: int = 0) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(n, WIDTH, generator=generator), torch.arange(n) % CLASSES)


def loader(n: int = 40, **arguments: Any) -> DataLoader[Any]:
    return DataLoader(blobs(n), **{"batch_size": 16, **arguments})


def mlp(classes: int = CLASSES) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Dropout(0.3), nn.Linear(HIDDEN, classes)
    )


class Classifier(LightningModule):
    """A LightningModule around any network that gives logits or log-probabilities."""

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = mlp() if network is None else network

    def forward(self, x: Tensor) -> Any:
        return self.network(x)

    def loss(self, batch: Any) -> Tensor:
        x, y = batch
        return functional.cross_entropy(self(x), y)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.01)


def make_trainer(root: Path, **arguments: Any) -> Trainer:
    return Trainer(**{"default_root_dir": root, **QUIET, **arguments})


def attached(trainer: Trainer, model: LightningModule) -> Trainer:
    """Returns the Trainer, connected to a model as it is in the middle of ``fit``."""
    trainer.strategy.connect(model)
    trainer._data_connector.attach_data(model)
    model.trainer = trainer
    return trainer


class Counted(BadgeCallback):
    """Remembers in which epoch and at which step it ordered."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{"pool": loader(20), "k": 3, **arguments})
        self.moments: list[tuple[int, int]] = []

    def _order_pool(self, trainer: Trainer, pl_module: Any) -> None:
        self.moments.append((trainer.current_epoch, trainer.global_step))
        super()._order_pool(trainer, pl_module)


def fit(root: Path, *callbacks: Any, model: Any = None, **arguments: Any) -> Trainer:
    trainer = make_trainer(root, callbacks=list(callbacks), **arguments)
    trainer.fit(model or Classifier(), loader(64), loader(16))
    return trainer


def validate(root: Path, callback: BadgeCallback, model: Any = None, **arguments: Any) -> Trainer:
    trainer = make_trainer(root, callbacks=[callback], **arguments)
    trainer.validate(model or Classifier(), loader(16), verbose=False)
    return trainer


class Data(LightningDataModule):
    """A pool of 20 samples in ``predict_dataloader``."""

    def train_dataloader(self) -> Any:
        return loader(64)

    def val_dataloader(self) -> Any:
        return loader(16)

    def predict_dataloader(self) -> Any:
        return loader(20)
