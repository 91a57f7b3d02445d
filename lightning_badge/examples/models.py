"""Two small classifiers: a convolutional network for images and a multilayer perceptron.

Both are ordinary Lightning modules without any code for active learning. With few labels an epoch
has only a step or two, so limit training by steps, not by epochs:
``Trainer(max_steps=500, check_val_every_n_epoch=None, val_check_interval=100)``.
"""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError


class Classifier(LightningModule):
    """Base class of the example classifiers: cross entropy, Adam, accuracy and calibration error.

    Logs ``train/loss``, and ``loss``, ``accuracy`` and ``calibration_error`` under ``val/`` and
    ``test/``.

    Args:
        num_classes: Number of classes.
        lr: Learning rate.
    """

    def __init__(self, num_classes: int, lr: float) -> None:
        super().__init__()
        self.lr = lr
        metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(num_classes, average="micro"),
                "calibration_error": MulticlassCalibrationError(num_classes),
            }
        )
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")

    def logits_and_targets(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Returns logits ``[b, num_classes]`` and targets ``[b]`` of a pair (inputs, targets)."""
        inputs, targets = batch
        return self(inputs), targets

    def training_step(self, batch: Any) -> Tensor:
        """Returns the loss of a batch."""
        logits, targets = self.logits_and_targets(batch)
        loss = functional.cross_entropy(logits, targets)
        self.log("train/loss", loss, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Any) -> None:
        """Updates and logs the validation metrics."""
        self._measure(batch, "val/loss", self.val_metrics)

    def test_step(self, batch: Any) -> None:
        """Updates and logs the test metrics."""
        self._measure(batch, "test/loss", self.test_metrics)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def _measure(self, batch: Any, loss_name: str, metrics: MetricCollection) -> None:
        logits, targets = self.logits_and_targets(batch)
        metrics.update(logits.softmax(dim=1), targets)
        self.log(loss_name, functional.cross_entropy(logits, targets), batch_size=len(targets))
        self.log_dict(metrics, batch_size=len(targets))


class SmallCNN(Classifier):
    """Two convolutions and a hidden layer, for images of at least 8 x 8 pixels.

    Args:
        num_classes: Number of classes.
        in_channels: 1 for gray images, 3 for color.
        width: Channels of the first convolution; the second has twice as many.
        hidden: Width of the penultimate layer.
        dropout: Dropout probability of the penultimate activations.
        lr: Learning rate.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        width: int = 32,
        hidden: int = 128,
        dropout: float = 0.5,
        lr: float = 3e-3,
    ) -> None:
        super().__init__(num_classes, lr)
        self.save_hyperparameters()
        self.convolutions = nn.Sequential(
            nn.Conv2d(in_channels, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.hidden = nn.Sequential(
            nn.Linear(2 * width * _CELLS**2, hidden), nn.ReLU(), nn.Dropout(dropout)
        )
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits ``[b, num_classes]`` of images ``[b, in_channels, height, width]``."""
        maps = _max_over_cells(_max_over_cells(self.convolutions(images), dim=2), dim=3)
        logits: Tensor = self.head(self.hidden(maps.flatten(1)))
        return logits


class MLP(Classifier):
    """Two hidden layers over the columns of a table or the pixels of an image.

    Args:
        num_classes: Number of classes.
        in_features: Values per sample: channels x height x width for an image.
        hidden: Width of both hidden layers; the second is the penultimate layer.
        dropout: Dropout probability of the penultimate activations.
        lr: Learning rate.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_features: int = 64,
        hidden: int = 128,
        dropout: float = 0.2,
        lr: float = 3e-3,
    ) -> None:
        super().__init__(num_classes, lr)
        self.save_hyperparameters()
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(in_features, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns logits ``[b, num_classes]`` of inputs ``[b, ...]``."""
        logits: Tensor = self.head(self.hidden(inputs))
        return logits


_CELLS = 4


def _max_over_cells(maps: Tensor, dim: int) -> Tensor:
    # ``nn.AdaptiveMaxPool2d`` has no deterministic backward pass on CUDA.
    return torch.stack([cell.amax(dim) for cell in maps.tensor_split(_CELLS, dim)], dim)
