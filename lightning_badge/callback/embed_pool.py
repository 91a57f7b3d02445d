"""`EmbedPool`: writes what enters and leaves the head for a pool into a folder, from a Trainer."""

import signal
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from lightning_badge.callback.pool_source import pool_source
from lightning_badge.callback.trainer_checks import trainer_peers
from lightning_badge.capture.to_directory import Embedded, capture_to
from lightning_badge.stopping import StopRequested, take_signals


class EmbedPool(Callback):
    """Embeds the pool of ``trainer.validate`` into a folder of shards.

    With ``Trainer(strategy="ddp")`` the processes share the work.

    Args:
        directory: The folder, as in `capture_to`.
        pool: A loader of the pool; None for ``pool_dataloader()`` or ``predict_dataloader()`` of
            the datamodule or the module, as with `BadgeCallback`.
        **arguments: Other arguments of `capture_to`, such as ``head`` and ``dtype``.

    Attributes:
        embedded: What was done; None before.

    Example:
        >>> EmbedPool("shards", dtype="float16").embedded is None
        True
    """

    def __init__(self, directory: str | Path, pool: Any = None, **arguments: Any) -> None:
        self.directory, self.pool, self.arguments = Path(directory), pool, arguments
        self.embedded: Embedded | None = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the signals of `lightning-badge embed`, which Lightning has taken."""
        del trainer, pl_module
        take_signals()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Ends the processes that Lightning started, when this one is stopped.

        Lightning does the same after Ctrl-C. Shards are whole or not there.
        """
        del pl_module
        launcher = trainer.strategy.launcher
        if isinstance(exception, StopRequested) and launcher is not None:
            launcher.kill(signal.SIGKILL)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Embeds the pool, unless this validation is a part of a training."""
        if trainer.state.fn != TrainerFn.VALIDATING:
            return
        loader = pool_source(trainer, pl_module, self.pool)()
        self.embedded = capture_to(
            self.directory,
            pl_module,
            loader,
            trainer=trainer,
            peers=trainer_peers(trainer),
            **self.arguments,
        )
