"""Checks of the Trainer before a pool is ordered."""

from collections.abc import Mapping
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels.registry import resolve_backend


def is_trial(trainer: Trainer) -> bool:
    """Whether this is a ``fast_dev_run``, which must leave nothing on disk."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def weights_of(trainer: Trainer, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Returns which weights an ordering was computed with, for its metadata.

    Args:
        trainer: The Trainer.
        loaded: Step and epoch of the loaded checkpoint, which ``trainer.validate`` does not
            restore.
    """
    is_fit = trainer.state.fn == TrainerFn.FITTING
    now = {"global_step": trainer.global_step, "epoch": trainer.current_epoch}
    # In fit, ckpt_path is the checkpoint that the run was resumed from, not these weights.
    checkpoint = None if is_fit or trainer.ckpt_path is None else str(trainer.ckpt_path)
    return {"checkpoint": checkpoint, **now, **(loaded if checkpoint else {})}


def reject_backend(trainer: Trainer, backend: str) -> None:
    """Raises if the back end cannot compute on the Trainer's device.

    Raises:
        MisconfigurationException: It cannot; the message has the reason and the fix.
    """
    try:
        resolve_backend(backend, trainer.strategy.root_device)
    except BadgeError as error:
        raise MisconfigurationException(f"BadgeCallback: {error}") from error


def reject_several_processes(trainer: Trainer) -> None:
    """Raises if each process would see only a part of the pool.

    Raises:
        MisconfigurationException: The Trainer has more than one process.
    """
    if trainer.world_size > 1:
        raise MisconfigurationException(
            f"BadgeCallback runs in one process, but the Trainer has {trainer.world_size}; train "
            "with when='never', then order with Trainer(devices=1).validate(...)"
        )
