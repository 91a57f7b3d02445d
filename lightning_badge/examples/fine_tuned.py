"""An encoder and a linear head that are trained together."""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_badge.encoders import Encoder
from lightning_badge.examples.frozen import LogisticHead
from lightning_badge.examples.models import Classifier


class FineTuned(Classifier):
    """An encoder with a linear head, both trained by AdamW.

    A head that was trained on frozen features before keeps the encoder from being changed by the
    gradients of a random one (LP-FT, arXiv 2202.10054). A batch is a pair (what ``encoder.collate``
    makes of raw samples, targets).

    Args:
        num_classes: Number of classes.
        encoder: The encoder, as `load_encoder` returns it; its network is trained.
        lr: Learning rate of the encoder.
        head_lr: Learning rate of the head.
        multilabel: Whether a sample may have several classes.
    """

    scale: Tensor

    def __init__(
        self,
        num_classes: int,
        encoder: Encoder,
        lr: float = 2e-5,
        head_lr: float = 1e-3,
        multilabel: bool = False,
    ) -> None:
        super().__init__(num_classes, lr, multilabel)
        self.save_hyperparameters(ignore=["encoder"])
        assert encoder.module is not None, "an encoder with weights"
        self.encoder, self.head_lr = encoder, head_lr
        self.network = encoder.module.requires_grad_(True)
        self.register_buffer("scale", torch.ones(()))
        self.head = nn.Linear(encoder.width, num_classes)

    def begin_with(self, trained: LogisticHead) -> None:
        """Takes the weights of a head that was trained on frozen features."""
        self.head.load_state_dict(trained.head.state_dict())
        self.scale.copy_(trained.scale)

    def forward(self, inputs: Any) -> Tensor:
        """Returns logits ``[b, num_classes]`` of a batch of ``encoder.collate``."""
        logits: Tensor = self.head(self.encoder.embed(inputs) * self.scale)
        return logits

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Returns AdamW with two learning rates."""
        return torch.optim.AdamW(
            [
                {"params": list(self.network.parameters()), "lr": self.lr},
                {"params": list(self.head.parameters()), "lr": self.head_lr},
            ],
            weight_decay=0.01,
        )
