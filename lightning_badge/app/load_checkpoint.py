"""Loads a module and its data by their names and a checkpoint."""

from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class
from lightning.pytorch import LightningDataModule, LightningModule

from lightning_badge.exceptions import BadgeError


def load_checkpoint(
    module: str, checkpoint: Path, data: str
) -> tuple[LightningModule, LightningDataModule]:
    """Returns a module with the weights of a checkpoint, and its data.

    Args:
        module: Dotted name of a ``LightningModule``.
        checkpoint: Of this module.
        data: Dotted name of a ``LightningDataModule`` with a pool. Its hyperparameters are those in
            the checkpoint, if there are any.

    Raises:
        BadgeError: A class that cannot be found, or built from the checkpoint.
    """
    if not checkpoint.is_file():
        raise BadgeError(f"--ckpt: expected a checkpoint, but there is none at {checkpoint}")
    model = _load(module, LightningModule, "--module", checkpoint)
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    is_saved = "datamodule_hyper_parameters" in saved
    return model, _load(data, LightningDataModule, "--data", checkpoint if is_saved else None)


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
