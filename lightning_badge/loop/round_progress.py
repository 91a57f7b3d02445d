"""A progress bar for the training of a round."""

import math
from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from typing_extensions import override

from lightning_badge.progress import progress_bar


class RoundProgress(Callback):
    """Shows the optimizer steps of ``fit`` on a terminal, with rate and remaining time.

    Args:
        round: Number of the round.

    Attributes:
        shows_progress: Asks `BadgeCallback` to show its progress in the same style.
    """

    shows_progress = True

    def __init__(self, round: int) -> None:
        super().__init__()
        self.round = round
        self._open = ExitStack()
        self._steps = 0

    @override
    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Opens the bar."""
        description = f"Round {self.round:03d}, training"
        self._steps = trainer.global_step
        self._advance = self._open.enter_context(progress_bar(description, _steps(trainer)))

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advances the bar by the steps since the last batch; gradients may accumulate."""
        steps, self._steps = trainer.global_step - self._steps, trainer.global_step
        self._advance(steps)

    @override
    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Removes the bar."""
        self._open.close()

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Removes the bar."""
        self._open.close()


def _steps(trainer: Trainer) -> float | None:
    """Returns the optimizer steps of a fit; None where nothing bounds them."""
    if trainer.max_steps >= 0:
        return trainer.max_steps
    if trainer.max_epochs is None or trainer.max_epochs < 0:
        return None
    steps = trainer.max_epochs * trainer.num_training_batches / trainer.accumulate_grad_batches
    return math.ceil(steps) if math.isfinite(steps) else None
