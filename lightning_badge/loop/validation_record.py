"""Which validation samples a model classifies correctly, noted while it is validated."""

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.hooks import RemovableHandle
from typing_extensions import override

from lightning_badge.datamodule.dataset_view import target_of
from lightning_badge.exceptions import LabelError
from lightning_badge.outlook import is_share, packed


class ValidationRecord(Callback):
    """Notes predicted classes during `Trainer.validate`, without another pass.

    The last linear layer of the model is taken for its head. That it is the head is not assumed:
    `correct` returns nothing unless the share of correct predictions equals the metric.

    Args:
        target_key: Where batches have their targets, as the datamodule says.
    """

    def __init__(self, target_key: int | str) -> None:
        super().__init__()
        self.samples: int | None = None
        self._target_key = target_key
        self._hook: RemovableHandle | None = None
        self._logits: Tensor | None = None
        self._right: list[Tensor] = []

    def correct(self, value: float | None) -> str | None:
        """Returns which samples were right, by `packed`, in the order of the validation data.

        Args:
            value: The metric.

        Returns:
            None if it is not known, or if it is not what the metric measures.
        """
        right = torch.cat(self._right).cpu().numpy() if self._right else np.zeros(0, np.bool_)
        if value is None or self.samples is None or len(right) != self.samples:
            return None
        fits = is_share(value, self.samples) and right.sum() == round(value * self.samples)
        return packed(right) if fits else None

    @override
    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Counts the samples, and watches the head."""
        self.samples, self._right = _samples(trainer), []
        linear = [module for module in pl_module.modules() if isinstance(module, nn.Linear)]
        if linear and trainer.world_size == 1:
            self._hook = linear[-1].register_forward_hook(self._keep)

    @override
    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Compares the predictions of a batch with its targets."""
        logits, self._logits = self._logits, None
        try:
            targets = target_of(batch, self._target_key)
        except LabelError:
            return
        if logits is None or not isinstance(targets, Tensor) or targets.shape != logits.shape[:1]:
            return
        self._right.append(logits.argmax(dim=1) == targets)

    @override
    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops watching."""
        self._release()

    @override
    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Stops watching."""
        self._release()

    def _keep(self, _module: nn.Module, _inputs: Any, logits: Tensor) -> None:
        self._logits = logits.detach() if logits.ndim == 2 else None

    def _release(self) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook = self._logits = None


def _samples(trainer: Trainer) -> int | None:
    """Returns the number of validation samples; None if it cannot be told."""
    loader = trainer.val_dataloaders
    if not isinstance(loader, DataLoader) or trainer.num_val_batches != [len(loader)]:
        return None
    return len(loader.dataset)  # type: ignore[arg-type]
