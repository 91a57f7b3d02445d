"""A run of the loop with tiny models, whose every start acts as a new process."""

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from rich.console import Console
from tiny import CLASSES, Classifier, blobs, make_trainer

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.labelers import DatasetLabelers, Labelers
from lightning_badge.loop.active_learning import ActiveLearningLoop
from lightning_badge.loop.budget import Budget, FixedBudget
from lightning_badge.loop.train_round import round_seed
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

POOL, INITIAL = 60, 6


class Killed(BaseException):
    """Simulates a kill of the process; no code under test catches it."""


class Accurate(Classifier):
    """A classifier that logs its accuracy."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        x, y = batch
        self.log("val/accuracy", (self(x).argmax(1) == y).float().mean())


@dataclass
class Run:
    """A run in ``path``; each call of ``go`` acts as a new process with the same command.

    Attributes:
        trained: Number of labels in each training, over all calls.
    """

    path: Path
    budget: Budget = field(default_factory=lambda: FixedBudget(k=5))
    skip_fraction: float = 0.0
    badge: dict[str, Any] = field(default_factory=dict)
    labelers: Labelers | None = None
    extra_callbacks: list[Callback] = field(default_factory=list)
    trained: list[int] = field(default_factory=list)
    console: io.StringIO = field(default_factory=io.StringIO)

    def datamodule(self) -> ActiveLearningDataModule:
        return ActiveLearningDataModule(
            blobs(POOL),
            blobs(30, seed=1),
            initial_labeled=INITIAL,
            labels=torch.arange(POOL) % CLASSES,
        )

    def make_trainer(self, round: int, directory: Path) -> Trainer:
        badge = {"dirpath": directory, "round": round, "seed": round_seed(0, round), **self.badge}
        best = ModelCheckpoint(directory, "best", monitor="val/accuracy", mode="max")
        callbacks = [BadgeCallback(when="never", **badge), best, *self.extra_callbacks]
        return make_trainer(directory, callbacks=callbacks, enable_checkpointing=True, max_epochs=2)

    def go(self, **limits: Any) -> float:
        datamodule = self.datamodule()

        def make_model() -> Accurate:
            self.trained.append(len(datamodule.labeled_ids))
            return Accurate()

        known = datamodule.held_back_labels()
        labelers = self.labelers or DatasetLabelers(known, skip_fraction=self.skip_fraction)
        with RunDirectory(self.path) as directory, LabelStore(directory.labels_path) as store:
            loop = ActiveLearningLoop(
                make_model,
                self.make_trainer,
                datamodule,
                self.budget,
                labelers,
                store,
                directory,
                console=Console(file=self.console),
                **limits,
            )
            return loop.run()

    @property
    def directory(self) -> RunDirectory:
        return RunDirectory(self.path)

    def labels(self) -> dict[Any, Any]:
        with LabelStore(self.directory.labels_path) as store:
            return store.labels()

    def curve(self) -> str:
        return self.directory.learning_curve_csv_path.read_text()

    def last_line(self) -> str:
        return self.console.getvalue().splitlines()[-1]
