"""Decides when the callback orders the pool: after which validations of ``fit``, or at its end."""

from itertools import chain
from typing import Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor
from torch.nn.parameter import is_lazy

from lightning_badge.callback.trainer_checks import is_trial

When = Literal["last_validation", "every_validation", "never"]
WHEN: tuple[When, ...] = ("last_validation", "every_validation", "never")


class Schedule:
    """Decides at which moments of ``fit`` and ``trainer.validate`` the pool is ordered.

    ``last_validation`` orders once per fit, with the final weights: after a validation if no
    training step can follow it, otherwise when training ends, because a callback or a time limit
    may stop training at any step. ``every_validation`` orders after every n-th validation, and once
    when training ends if no validation ran. ``trainer.validate`` always orders.

    Args:
        when: One of ``WHEN``.
        every_n: With ``every_validation``: order after every n-th validation.

    Attributes:
        n_validations: Number of validations of ``fit``, including those before a resume.
        order_at_train_end: Whether other callbacks change the weights when training ends, so that
            ``last_validation`` must order after them.
    """

    def __init__(self, when: When, every_n: int) -> None:
        self.when = when
        self.every_n = every_n
        self.n_validations = 0
        self.start_fit()

    @property
    def in_fit(self) -> bool:
        """Whether ``fit`` orders at all."""
        return self.when != "never"

    @property
    def moments(self) -> str:
        """The moments at which ``fit`` orders, in words."""
        if self.when != "every_validation":
            return "once at the end"
        n = self.every_n
        return "after every validation" if n == 1 else f"after one in {n} validations"

    def start_fit(self) -> None:
        """Resets the state of the previous fit."""
        self.order_at_train_end = False
        self._has_validated = False
        self._ordered: tuple[int, str] | None = None

    def after_validation(self, trainer: Trainer) -> bool:
        """Whether to order now that a validation ends."""
        if trainer.sanity_checking:
            return False
        if trainer.state.fn == TrainerFn.VALIDATING:
            return True
        self.n_validations += 1
        self._has_validated = True
        if self.when == "every_validation":
            return is_trial(trainer) or self.n_validations % self.every_n == 0
        is_to_order = self.when == "last_validation" and not self.order_at_train_end
        return is_to_order and no_step_follows(trainer)

    def at_train_end(self, trainer: Trainer, pl_module: LightningModule) -> bool:
        """Whether to order now that training ends."""
        if self.when == "every_validation":
            return not self._has_validated
        # Hooks of the epoch's end may have changed the weights after the last validation.
        return self.when == "last_validation" and self._ordered != _moment(trainer, pl_module)

    def record(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Records with which weights of the fit the pool was ordered."""
        if self.when == "last_validation":
            self._ordered = _moment(trainer, pl_module)


def no_step_follows(trainer: Trainer) -> bool:
    """Whether no training step can follow the current validation."""
    if 0 <= trainer.max_steps <= trainer.global_step:
        return True
    loop = trainer.fit_loop
    batches = loop.epoch_loop.batch_progress
    is_last_batch = batches.is_last_batch or batches.current.ready >= trainer.num_training_batches
    last_epoch = -1 if loop.max_epochs is None else loop.max_epochs - 1
    return is_last_batch and 0 <= last_epoch <= trainer.current_epoch


def _moment(trainer: Trainer, pl_module: LightningModule) -> tuple[int, str]:
    """Returns the step and one sum for each weight tensor."""
    tensors = chain(pl_module.parameters(), pl_module.buffers())
    return trainer.global_step, repr([_sum(tensor.detach()) for tensor in tensors])


def _sum(tensor: Tensor) -> float:
    if tensor.is_meta or is_lazy(tensor):
        return 0.0
    real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return float(real.sum(dtype=torch.float32))
