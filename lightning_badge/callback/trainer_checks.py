"""What the callback checks of a Trainer before it orders a pool."""

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
    """Returns which weights an ordering is made of, for its metadata.

    Args:
        trainer: Which holds them.
        loaded: Step and epoch of the checkpoint that was loaded: ``trainer.validate`` does not
            restore them.
    """
    is_fit = trainer.state.fn == TrainerFn.FITTING
    now = {"global_step": trainer.global_step, "epoch": trainer.current_epoch}
    # In fit, ckpt_path is what the run was resumed from: not these weights.
    checkpoint = None if is_fit or trainer.ckpt_path is None else str(trainer.ckpt_path)
    return {"checkpoint": checkpoint, **now, **(loaded if checkpoint else {})}


def reject_backend(trainer: Trainer, backend: str) -> None:
    """Raises where a back end cannot compute on the Trainer's device.

    Raises:
        MisconfigurationException: With the reason and how to fix it.
    """
    try:
        resolve_backend(backend, trainer.strategy.root_device)
    except BadgeError as error:
        raise MisconfigurationException(f"BadgeCallback: {error}") from error


def reject_several_processes(trainer: Trainer) -> None:
    """Raises where each process would see only a part of the pool.

    Raises:
        MisconfigurationException: The Trainer has more than one process.
    """
    if trainer.world_size > 1:
        raise MisconfigurationException(
            f"BadgeCallback runs in one process, but the Trainer has {trainer.world_size}; train "
            "with when='never', then order with Trainer(devices=1).validate(...)"
        )
