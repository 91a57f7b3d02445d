"""Three small classifiers: for images, for tables and for texts as hashed n-grams.

They are ordinary Lightning modules without any code for active learning. With few labels an epoch
has only a step or two, so limit training by steps, not by epochs:
``Trainer(max_steps=500, check_val_every_n_epoch=None, val_check_interval=100)``.
"""

from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassCalibrationError,
    MultilabelAccuracy,
)


class Classifier(LightningModule):
    """Base class of the example classifiers: cross entropy, Adam, accuracy and calibration error.

    Logs ``train/loss``, and ``loss``, ``accuracy`` and ``calibration_error`` under ``val/`` and
    ``test/``. With ``multilabel`` the loss is binary cross entropy, the accuracy is that of all
    pairs of sample and class, and there is no calibration error.

    Args:
        num_classes: Number of classes.
        lr: Learning rate.
        multilabel: Whether a sample may have several classes; targets are then float
            ``[b, num_classes]``, otherwise classes ``[b]``.
    """

    def __init__(self, num_classes: int, lr: float, multilabel: bool = False) -> None:
        super().__init__()
        self.lr, self.multilabel = lr, multilabel
        metrics = MetricCollection(
            {"accuracy": MultilabelAccuracy(num_classes, average="micro")}
            if multilabel
            else {
                "accuracy": MulticlassAccuracy(num_classes, average="micro"),
                "calibration_error": MulticlassCalibrationError(num_classes),
            }
        )
        self.val_metrics = metrics.clone(prefix="val/")
        self.test_metrics = metrics.clone(prefix="test/")

    def logits_and_targets(self, batch: Any) -> tuple[Tensor, Tensor]:
        """Returns logits ``[b, num_classes]`` and targets of a pair (inputs, targets)."""
        inputs, targets = batch
        return self(inputs), targets

    def training_step(self, batch: Any) -> Tensor:
        """Returns the loss of a batch."""
        logits, targets = self.logits_and_targets(batch)
        loss = self._loss(logits, targets)
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
        if self.multilabel:
            metrics.update(logits.sigmoid(), targets.int())
        else:
            metrics.update(logits.softmax(dim=1), targets)
        loss = self._loss(logits, targets)
        self.log(loss_name, loss, batch_size=len(targets), sync_dist=True)
        self.log_dict(metrics, batch_size=len(targets))

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.multilabel:
            return functional.binary_cross_entropy_with_logits(logits, targets)
        return functional.cross_entropy(logits, targets)


class SmallCNN(Classifier):
    """Two convolutions and a hidden layer, for images of at least 8 x 8 pixels.

    Args:
        num_classes: Number of classes.
        in_channels: 1 for gray images, 3 for color.
        width: Channels of the first convolution; the second has twice as many.
        hidden: Width of the penultimate layer.
        dropout: Dropout probability of the penultimate activations.
        lr: Learning rate.
        multilabel: Whether a sample may have several classes.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        width: int = 32,
        hidden: int = 128,
        dropout: float = 0.5,
        lr: float = 3e-3,
        multilabel: bool = False,
    ) -> None:
        super().__init__(num_classes, lr, multilabel)
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
        multilabel: Whether a sample may have several classes.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_features: int = 64,
        hidden: int = 128,
        dropout: float = 0.2,
        lr: float = 3e-3,
        multilabel: bool = False,
    ) -> None:
        super().__init__(num_classes, lr, multilabel)
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


class NGrams(Classifier):
    """An embedding for each hashed n-gram, their scaled sum, and a linear head, for texts.

    Inputs are those of `lightning_badge.datamodule.folder.ngrams.hashed_ngrams`.

    Args:
        num_classes: Number of classes.
        buckets: Number of buckets that n-grams are hashed to, that of the inputs.
        width: Width of the embeddings, which are the penultimate layer.
        dropout: Dropout probability of the penultimate activations.
        lr: Learning rate.
        multilabel: Whether a sample may have several classes.
    """

    def __init__(
        self,
        num_classes: int,
        buckets: int = 2**14,
        width: int = 128,
        dropout: float = 0.3,
        lr: float = 3e-3,
        multilabel: bool = False,
    ) -> None:
        super().__init__(num_classes, lr, multilabel)
        self.save_hyperparameters()
        self.bag = nn.EmbeddingBag(buckets, width, mode="sum", padding_idx=0)
        nn.init.normal_(self.bag.weight, std=width**-0.5)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, num_classes)

    def forward(self, ngrams: Tensor) -> Tensor:
        """Returns logits ``[b, num_classes]`` of buckets ``[b, l]``; bucket 0 is padding."""
        # Divided by the root of their number, sums of long and short texts have equal scales.
        counts = (ngrams != 0).sum(1, keepdim=True).clamp(min=1)
        logits: Tensor = self.head(self.dropout(self.bag(ngrams) / counts.sqrt()))
        return logits


_CELLS = 4


def _max_over_cells(maps: Tensor, dim: int) -> Tensor:
    # ``nn.AdaptiveMaxPool2d`` has no deterministic backward pass on CUDA.
    return torch.stack([cell.amax(dim) for cell in maps.tensor_split(_CELLS, dim)], dim)
