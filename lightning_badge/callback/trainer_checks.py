"""What the callback asks of a Trainer: which moment it is, and what stands in an ordering's way."""

import math

from lightning.fabric.utilities import rank_zero_warn
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer, callbacks

from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels.registry import resolve_backend


def is_last_validation_of_epoch(trainer: Trainer) -> bool:
    """Whether the validation that runs in ``fit`` is the last one before the next epoch, or ever.

    Where nobody can tell, as with validation by the clock or an endless data set, each one counts
    as the last.
    """
    progress = trainer.fit_loop.epoch_loop.batch_progress
    if progress.is_last_batch or trainer.should_stop:
        return True
    batches_left = float(trainer.num_training_batches) - progress.current.ready
    if trainer.max_steps >= 0:
        steps_left = trainer.max_steps - trainer.global_step
        batches_left = min(batches_left, steps_left * trainer.accumulate_grad_batches)
    interval = trainer.val_check_batch
    return interval is None or math.isinf(batches_left) or batches_left < interval


def is_trial(trainer: Trainer) -> bool:
    """Whether this is a ``fast_dev_run``, which must leave nothing on disk."""
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def reject_backend(trainer: Trainer, backend: str) -> None:
    """Raises where a back end cannot compute on the Trainer's device.

    Raises:
        MisconfigurationException: With the reason and the mend.
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
            "with during_fit=False, then order with Trainer(devices=1).validate(...)"
        )


def warn_without_validation(trainer: Trainer) -> None:
    """Warns where ``fit`` will not validate, as far as is known when training starts."""
    is_loaded = trainer.val_dataloaders is not None
    if not trainer.enable_validation or (is_loaded and sum(trainer.num_val_batches) == 0):
        rank_zero_warn(
            "BadgeCallback orders the pool after validation, and this fit has no validation "
            "batches; order afterwards with trainer.validate(...) (during_fit=False says so)"
        )


def warn_of_averaging(trainer: Trainer) -> None:
    """Warns where the Trainer keeps averaged weights beside those that it trains."""
    # Older versions of Lightning have no such callback.
    averaging: type | tuple[()] = getattr(callbacks, "WeightAveraging", ())
    own: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    if any(isinstance(callback, averaging) for callback in own):
        rank_zero_warn(
            "BadgeCallback orders by the trained weights, not by the averages that "
            "WeightAveraging keeps; for those use trainer.validate(ckpt_path=...) after fit"
        )
