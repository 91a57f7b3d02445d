"""Keeps the signals of a command from Lightning's handlers while a Trainer runs."""

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from lightning_badge.stopping import take_signals


class KeepSignals(Callback):
    """Installs the command's handlers again when a Trainer begins to run.

    Lightning's handler of SIGTERM calls a collective, for which other processes may never be ready.
    A program that uses the loop without the command keeps the handlers of Lightning.
    """

    @override
    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first batch of ``fit``."""
        take_signals()

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first batch of training."""
        take_signals()

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Before the first batch of ``validate``."""
        take_signals()
