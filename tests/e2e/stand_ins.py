"""Classes that the configurations of the end-to-end tests use in place of real ones."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning_utilities.core.imports import RequirementCache
from torch import Tensor, nn

from lightning_badge.examples.models import Classifier, SmallCNN
from lightning_badge.labelers import DatasetLabelers
from lightning_badge.store.answer import NewAnswer


def die_once(mark: str) -> None:
    """Kills this process, unless the file ``mark`` exists."""
    if not Path(mark).exists():
        Path(mark).touch()
        os.kill(os.getpid(), signal.SIGKILL)


class DiesTraining(Callback):
    """Kills the process during the training of round 1."""

    def __init__(self, mark: str, round: int) -> None:
        self.mark = mark
        self.round = round

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if self.round == 1 and trainer.global_step == 15:
            die_once(self.mark)


class DiesAnswering(DatasetLabelers):
    """Kills the process on the tenth answer, when the loop has committed nine."""

    def __init__(self, labels: Any, mark: str, **arguments: Any) -> None:
        super().__init__(labels, **arguments)
        self.mark = mark

    def collect(self) -> Iterator[list[NewAnswer]]:
        for number, batch in enumerate(super().collect()):
            if number == 9:
                die_once(self.mark)
            yield batch


def dies_answering(
    datamodule: Any, run_path: Path, *, team: None, begins: str, **arguments: Any
) -> DiesAnswering:
    """Builds such labelers for a run, who are no team."""
    return DiesAnswering(datamodule.held_back_labels(), **arguments)


class NeedsAPackage(CSVLogger):
    """Raises the error of Lightning's loggers for a package that is not installed."""

    def __init__(self, **_: Any) -> None:
        raise ModuleNotFoundError(str(RequirementCache("no-such-package>=1.0")))


class NoLinearLayer(Classifier):
    """A classifier with a convolution over the whole image in place of a linear layer."""

    def __init__(self, num_classes: int, lr: float, **_: Any) -> None:
        super().__init__(num_classes, lr)
        self.convolution = nn.Conv2d(1, num_classes, kernel_size=8)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.convolution(images).flatten(1)
        return logits


class Buggy(SmallCNN):
    """A model with a bug, whose traceback must be shown."""

    def forward(self, images: Tensor) -> Tensor:
        raise ZeroDivisionError("a bug")
