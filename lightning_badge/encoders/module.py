"""Any ``torch.nn.Module`` as an encoder of tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_badge.exceptions import EncoderError
from lightning_badge.module_digest import digest_of_module


class ModuleEncoder:
    """A network that maps inputs of the data set, stacked to a batch, to features ``[b, width]``.

    Args:
        module: The network.
        sample: One input, to learn the width.
        batch_size: Samples in a batch.
        device: Where the network runs.

    Raises:
        EncoderError: It cannot embed the sample.
    """

    pooling = "the module's output"

    def __init__(
        self,
        module: nn.Module,
        sample: Any,
        *,
        batch_size: int = 64,
        device: torch.device | str = "cpu",
    ) -> None:
        if not isinstance(sample, Tensor):
            raise EncoderError(
                f"encoder: {type(module).__name__} needs samples that are tensors, got "
                f"{type(sample).__name__}; name a Hugging Face model, or pass precomputed features"
            )
        self.name, self.batch_size = type(module).__name__, batch_size
        self.module = module.to(device).eval().requires_grad_(False)
        self._device = torch.device(device)
        with torch.inference_mode():
            self.width = self.embed(self.collate([sample])).shape[1]

    def fingerprint(self) -> str:
        """Returns a digest of the class and the weights."""
        return digest_of_module(self.module)

    def lengths(self, samples: Sequence[Any]) -> None:
        """Returns None: tensors of one data set have one shape."""

    def collate(self, samples: Sequence[Tensor]) -> Tensor:
        """Returns the batch; uint8 stands for values in 0..1."""
        batch = torch.stack(list(samples))
        return batch.float() / 255 if batch.dtype == torch.uint8 else batch

    def embed(self, inputs: Tensor) -> Tensor:
        """Returns features ``[b, width]``."""
        output: Any = self.module(inputs.to(self._device))
        if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != len(inputs):
            shape = list(getattr(output, "shape", ())) or type(output).__name__
            raise EncoderError(
                f"encoder: expected features [{len(inputs)}, width] of {self.name}, got {shape}"
            )
        return output.flatten(1).float()
