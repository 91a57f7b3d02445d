"""Checks of the Trainer before a pool is ordered."""

from collections.abc import Mapping, Sized
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels.registry import resolve_backend
from lightning_badge.namespaces import lightning_classes
from lightning_badge.ordering.registry import check_sharded
from lightning_badge.peers import Peers


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


def find_backend(trainer: Trainer, backend: str, n: int | None = None) -> None:
    """Finds out before training whether the back end that ``auto`` prefers works.

    If it does not, one warning says so, and the pool will be ordered by another one.

    Args:
        trainer: The Trainer.
        backend: The back end of the callback; one that is not ``auto`` is left alone.
        n: Number of rows of the pool; that of the datamodule's ``pool_ids`` if None.
    """
    if n is None:
        ids = getattr(getattr(trainer, "datamodule", None), "pool_ids", None)
        n = len(ids) if isinstance(ids, Sized) else 0
    if backend == "auto":
        resolve_backend(backend, trainer.strategy.root_device, n)


def reject_processes(trainer: Trainer, strategy: str) -> None:
    """Raises if the Trainer's processes cannot order the pool together.

    Raises:
        MisconfigurationException: The strategy needs one process, or the Trainer's strategy is not
            one under which each process runs the whole model on batches of its own.
    """
    if trainer.world_size == 1:
        return
    if not _is_data_parallel(trainer):
        raise MisconfigurationException(
            f"BadgeCallback: {trainer.world_size} processes with {type(trainer.strategy).__name__} "
            "are not supported; expected DDP or FSDP, without tensor parallelism: each process "
            "runs the model on batches of its own; train with when='never', then order with "
            "Trainer(devices=1).validate(...)"
        )
    try:
        check_sharded(strategy)
    except BadgeError as error:
        raise MisconfigurationException(
            f"BadgeCallback: {error}; or train with when='never' and order with "
            "Trainer(devices=1).validate(...)"
        ) from error


def trainer_peers(trainer: Trainer) -> Peers:
    """Returns the processes of a Trainer, which share the pool.

    Raises:
        MisconfigurationException: They ended, as they do after ``fit`` with ``ddp_spawn``.
    """
    if trainer.world_size == 1:
        return Peers()
    if not torch.distributed.is_initialized():
        raise MisconfigurationException(
            f"BadgeCallback: the Trainer's {trainer.world_size} processes are not running now; "
            "order in fit or validate, or with Trainer(devices=1)"
        )
    on_device = torch.distributed.get_backend() != "gloo"
    device = trainer.strategy.root_device if on_device else "cpu"
    return Peers(torch.distributed.group.WORLD, device)


def due_anywhere(trainer: Trainer, due: bool) -> bool:
    """Returns whether any process of the Trainer is to do something, which then all do."""
    return bool(trainer.strategy.reduce_boolean_decision(due, all=False))


def _is_data_parallel(trainer: Trainer) -> bool:
    """Returns whether each process runs the model on batches of its own."""
    names = ("DDPStrategy", "FSDPStrategy", "DeepSpeedStrategy", "ModelParallelStrategy")
    kinds = tuple(kind for name in names for kind in lightning_classes(f"strategies.{name}"))
    if not isinstance(trainer.strategy, kinds):
        return False
    try:
        kwargs = trainer.strategy.distributed_sampler_kwargs
    except RuntimeError:  # the mesh of processes does not exist before they run
        return True
    return kwargs is None or kwargs.get("num_replicas") == trainer.world_size
