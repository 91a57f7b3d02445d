"""Orders the pool of a checkpoint: the callback, without a line of code around it."""

from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

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
    if not checkpoint.is_file():
        raise BadgeError(f"--ckpt: expected a checkpoint, but there is none at {checkpoint}")
    model = _load(module, LightningModule, "--module", checkpoint)
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    is_saved = "datamodule_hyper_parameters" in saved
    datamodule = _load(data, LightningDataModule, "--data", checkpoint if is_saved else None)
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


def _load(name: str, kind: type[Any], option: str, checkpoint: Path | None) -> Any:
    try:
        found: Any = get_class(name)
    except Exception as error:  # whatever importing the user's module raises
        raise BadgeError(
            f"{option}: expected package.Class, got {name!r} ({type(error).__name__}: {error})"
        ) from error
    if not issubclass(found, kind):
        raise BadgeError(f"{option}: expected a {kind.__name__}, got {found.__name__}")
    if checkpoint is None:
        return found()
    try:
        return found.load_from_checkpoint(checkpoint, map_location="cpu")
    except (TypeError, RuntimeError, KeyError) as error:
        raise BadgeError(
            f"{option}: {name} cannot be built from {checkpoint} ({error}); "
            "save_hyperparameters() in its __init__ keeps its arguments in checkpoints"
        ) from error
