"""Two small image classifiers: a convolutional network and a multilayer perceptron.

Both are ordinary Lightning modules that know nothing of active learning. In a round with few
labels an epoch is a step or two, so train them by steps, not by epochs:
``Trainer(max_steps=500, check_val_every_n_epoch=None, val_check_interval=100)``.
"""

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError


class ImageClassifier(LightningModule):
    """How both are trained and measured: cross entropy, Adam, accuracy and calibration error.

    Logs ``train/loss``, and ``loss``, ``accuracy`` and ``calibration_error`` under ``val/`` and
    ``test/``.

    Args:
        num_classes: Classes to tell apart.
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

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Returns the loss of a batch of images ``[b, channels, height, width]`` and targets."""
        images, targets = batch
        loss = functional.cross_entropy(self(images), targets)
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Measures a validation batch."""
        self._measure(batch, "val/loss", self.val_metrics)

    def test_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Measures a test batch."""
        self._measure(batch, "test/loss", self.test_metrics)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns Adam."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)

    def _measure(
        self, batch: tuple[Tensor, Tensor], loss_name: str, metrics: MetricCollection
    ) -> None:
        images, targets = batch
        logits = self(images)
        metrics.update(logits.softmax(dim=1), targets)
        self.log(loss_name, functional.cross_entropy(logits, targets), batch_size=len(targets))
        self.log_dict(metrics, batch_size=len(targets))


class SmallCNN(ImageClassifier):
    """Two convolutions and a hidden layer, for images of any size from 8 x 8 pixels on.

    Args:
        num_classes: Classes to tell apart.
        in_channels: 1 for gray images, 3 for color.
        width: Channels of the first convolution; the second has twice as many.
        hidden: Width of the penultimate layer.
        dropout: Share of penultimate activations dropped in training.
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


class MLP(ImageClassifier):
    """Two hidden layers over the pixels.

    Args:
        num_classes: Classes to tell apart.
        pixels: Values in an image: channels x height x width.
        hidden: Width of both hidden layers, of which the second is the penultimate.
        dropout: Share of penultimate activations dropped in training.
        lr: Learning rate.
    """

    def __init__(
        self,
        num_classes: int = 10,
        pixels: int = 64,
        hidden: int = 128,
        dropout: float = 0.2,
        lr: float = 3e-3,
    ) -> None:
        super().__init__(num_classes, lr)
        self.save_hyperparameters()
        self.hidden = nn.Sequential(
            nn.Flatten(),
            nn.Linear(pixels, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
        )
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits ``[b, num_classes]`` of images ``[b, channels, height, width]``."""
        logits: Tensor = self.head(self.hidden(images))
        return logits


_CELLS = 4


def _max_over_cells(maps: Tensor, dim: int) -> Tensor:
    # ``nn.AdaptiveMaxPool2d`` has no deterministic backward pass on CUDA.
    return torch.stack([cell.amax(dim) for cell in maps.tensor_split(_CELLS, dim)], dim)
