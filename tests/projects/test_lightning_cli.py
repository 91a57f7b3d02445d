"""The examples of LightningCLI: a classifier and a datamodule of a few lines, run from arguments.

Lightning's image classifier defines ``forward`` and a ``predict_step`` that returns predicted
classes, and its datamodule predicts on the test set.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from dense import assert_gains, model_gradients
from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import LightningCLI
from tiny import LIGHTNING_WARNINGS
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset, random_split
from torchmetrics import Accuracy

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.ordering_file import read_ordering

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:lightning.pytorch.cli"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jsonargparse"),
]

N = 48


def images(seed: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    return TensorDataset(torch.randn(N, 1, 8, 8, generator=generator), torch.arange(N) % 10)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, 1)
        self.conv2 = nn.Conv2d(4, 6, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(24, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x))
        x = functional.relu(self.conv2(x))
        x = functional.max_pool2d(x, 2)
        x = torch.flatten(self.dropout1(x), 1)
        x = functional.relu(self.fc1(x))
        x = self.fc2(self.dropout2(x))
        return functional.log_softmax(x, dim=1)


class ImageClassifier(LightningModule):
    def __init__(self, model: Net | None = None, lr: float = 1.0, gamma: float = 0.7) -> None:
        super().__init__()
        self.save_hyperparameters(ignore="model")
        self.model = model or Net()
        self.val_acc = Accuracy(task="multiclass", num_classes=10)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        x, y = batch
        return functional.nll_loss(self.forward(x), y.long())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.val_acc(self.forward(x), y)
        self.log("val_acc", self.val_acc)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        return torch.argmax(self(batch[0]), dim=-1)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.Adadelta(self.model.parameters(), lr=self.hparams.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, self.hparams.gamma)]


class MNISTDataModule(LightningDataModule):
    def __init__(self, batch_size: int = 16) -> None:
        super().__init__()
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        self.mnist_test = images(2)
        self.mnist_predict = images(2)
        self.mnist_train, self.mnist_val = random_split(
            images(1), [32, 16], generator=torch.Generator().manual_seed(42)
        )

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.mnist_train, batch_size=self.hparams.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.mnist_val, batch_size=self.hparams.batch_size)

    def test_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.mnist_test, batch_size=self.hparams.batch_size)

    def predict_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.mnist_predict, batch_size=self.hparams.batch_size)


def run(root: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> LightningCLI:
    monkeypatch.setattr("sys.argv", ["cli"])
    # LightningCLI builds its parser in a way that newer versions of jsonargparse deprecate.
    monkeypatch.setenv("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    trainer = {
        "default_root_dir": str(root), "accelerator": "cpu", "logger": "false",
        "enable_progress_bar": "false", "enable_model_summary": "false",
    }  # fmt: skip
    return LightningCLI(
        ImageClassifier,
        MNISTDataModule,
        args=[
            "fit",
            *(f"--trainer.{name}={value}" for name, value in trainer.items()),
            "--trainer.callbacks=lightning_badge.BadgeCallback",
            *arguments,
        ],
        seed_everything_default=1234,
        save_config_callback=None,
    )


def gradients_of(model: ImageClassifier) -> Tensor:
    inputs = [images(2)[row][0][None] for row in range(N)]
    return model_gradients(model, "model.fc2", inputs, lambda exact, x: exact(x.double()))


def test_the_callback_comes_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.warns(UserWarning, match="MNISTDataModule.predict_dataloader.. gives the test set"):
        cli = run(
            tmp_path,
            monkeypatch,
            "--trainer.max_epochs=2",
            "--trainer.callbacks.seed=3",
            "--trainer.callbacks.when=last_validation",
            f"--trainer.callbacks.dirpath={tmp_path / 'out'}",
        )
    read = read_ordering(tmp_path / "out" / "ordering.parquet")
    assert read.metadata["head"] == "model.fc2"
    assert_gains(read, list(range(N)), gradients_of(cli.model))
    (callback,) = [c for c in cli.trainer.callbacks if isinstance(c, BadgeCallback)]
    assert callback.n_orderings == 1


@pytest.mark.filterwarnings("ignore:.*gives the test set as the pool")
def test_a_trial_run_orders_one_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cli = run(tmp_path, monkeypatch, "--trainer.fast_dev_run=true", "--trainer.callbacks.seed=3")
    (callback,) = [c for c in cli.trainer.callbacks if isinstance(c, BadgeCallback)]
    assert_gains(callback.ordering, list(range(16)), gradients_of(cli.model)[:16])
    assert not (tmp_path / "badge").exists()


@pytest.mark.filterwarnings("ignore:.*gives the test set as the pool")
def test_an_unknown_moment_lists_the_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(tmp_path, monkeypatch, "--trainer.callbacks.when=sometimes")
    assert "last_validation" in capsys.readouterr().err
