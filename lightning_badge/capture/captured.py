"""`CapturedPool`: what entered and left the head for every sample of a pool."""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from lightning_badge.capture.loss import loss_by_count
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Loss
from lightning_badge.sample_ids import SampleIds
from lightning_badge.shard import Shard


@dataclass(frozen=True, eq=False)
class CapturedPool:
    """What entered and left the head for every sample of a pool.

    Attributes:
        sample_ids: The sample of each row, ``[n]``.
        penultimate: What entered the head, ``[n, h]``, in the model's precision.
        logits: What left it, ``[n, c]``.
        head_name: Name of the head in the model.
        id_source: What the ids are, in words, for the metadata of an ordering.
        shard: Which part of the pool these rows are; None if they are the whole pool.
    """

    sample_ids: SampleIds
    penultimate: Tensor
    logits: Tensor
    head_name: str
    id_source: str = "positions"
    shard: Shard | None = None

    # Not under the inference mode of trainer.validate: autograd could never use its tensors.
    @torch.inference_mode(False)
    @torch.no_grad()
    def embedding(
        self, *, loss: str = "auto", bias: bool = False, backend: str = "auto"
    ) -> GradientEmbedding:
        """Embeds the gradients of the head.

        Args:
            loss: ``cross_entropy``, ``binary_cross_entropy``, or ``auto``, which takes the latter
                for a single output and the former for several.
            bias: Whether the gradient of the head's bias is embedded too.
            backend: The back end that computes gradients.

        Raises:
            EmbeddingError: What `GradientEmbedding.from_logits` refuses.
        """
        if loss == "auto":
            loss = loss_by_count(self.logits.shape[1])
        embedding = GradientEmbedding.from_logits(
            self.penultimate,
            self.logits,
            loss=cast(Loss, loss),
            bias=bias,
            sample_ids=self.sample_ids.tolist(),
            backend=backend,
        )
        return replace(embedding, shard=self.shard)

    def whole(self) -> "CapturedPool":
        """Returns the rows of all processes, on each of them: for small sets of samples."""
        if self.shard is None:
            return self
        return replace(
            self,
            sample_ids=self.shard.whole_ids(self.sample_ids),
            penultimate=self.shard.whole(self.penultimate),
            logits=self.shard.whole(self.logits),
            shard=None,
        )
