"""Orders the pool of a checkpoint: the callback, without a line of code around it."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from lightning_badge.app.load_checkpoint import load_checkpoint
from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import Ordering


def order_checkpoint(
    module: str,
    checkpoint: Path,
    data: str,
    *,
    args: dict[str, Any],
    progress: bool,
    **options: Any,
) -> Ordering:
    """Loads a module and its data and orders the pool.

    Args:
        module: Dotted name of a ``LightningModule``.
        checkpoint: Of this module.
        data: Dotted name of a ``LightningDataModule`` with a pool.
        args: The strategy's own arguments.
        progress: Whether to show progress bars.
        **options: Other arguments of `BadgeCallback`.

    Raises:
        BadgeError: A class that cannot be found, or built from the checkpoint.
    """
    model, datamodule = load_checkpoint(module, checkpoint, data)
    badge = BadgeCallback(strategy_args=args, **options)
    trainer = Trainer(
        callbacks=[badge],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
    )
    trainer.validate(model, datamodule=datamodule, verbose=False)
    if badge.ordering is None:
        raise BadgeError(f"{data}: expected a pool, but it is empty")
    return badge.ordering
