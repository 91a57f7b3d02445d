"""A Hugging Face vision model as an encoder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_badge.encoders.hugging_face import in_one_line, load, location_of
from lightning_badge.encoders.pooling import choose_pooling
from lightning_badge.exceptions import EncoderError
from lightning_badge.module_digest import digest_of_module


class ImageEncoder:
    """Image processor, model and pooling for images.

    Args:
        name: A folder, a name on the Hub, or ``package:NAME/FOLDER``.
        pooling: ``auto``, ``mean``, ``cls`` or ``pooled``.
        batch_size: Images in a batch.
        device: Where the model runs.
        local: Whether to use only what is on this machine.

    Raises:
        EncoderError: The model cannot be loaded, or is not one for images.
    """

    def __init__(
        self,
        name: str,
        *,
        pooling: str = "auto",
        batch_size: int = 64,
        device: torch.device | str = "cpu",
        local: bool = False,
    ) -> None:
        from transformers import AutoImageProcessor

        self.name, self.batch_size = name, batch_size
        loaded = load(name, local=local)
        self.module = loaded.module.to(device)
        self._processor = in_one_line(
            name,
            lambda: AutoImageProcessor.from_pretrained(location_of(name), local_files_only=local),
        )
        blank = self.collate([torch.zeros(3, 32, 32)])
        output = self._output(blank)
        has_pooled = getattr(output, "pooler_output", None) is not None and loaded.has_all_weights
        self._pool = choose_pooling(
            pooling,
            files=loaded.files,
            kind="images",
            has_pooled=has_pooled,
            has_cls=loaded.has_cls,
        )
        self.width = self.embed(blank).shape[1]

    @property
    def pooling(self) -> str:
        """How one vector is made of an image, in words."""
        return str(self._pool)

    def fingerprint(self) -> str:
        """Returns a digest of weights, image processor and pooling."""
        facts = (self._pool.name, self._pool.normalize, self._processor.to_json_string())
        return digest_of_module(self.module, *facts)

    def lengths(self, samples: Sequence[Any]) -> None:
        """Returns None: all images have the same size in the model."""

    def collate(self, samples: Sequence[Path | Tensor]) -> Mapping[str, Tensor]:
        """Returns pixels as the model expects them, ``[b, channels, height, width]``."""
        images = [_as_image(sample) for sample in samples]
        batch: Mapping[str, Tensor] = self._processor(images=images, return_tensors="pt")
        return {"pixel_values": batch["pixel_values"]}

    def embed(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Returns features ``[b, width]``."""
        return self._pool(self._output(inputs), None)

    def _output(self, inputs: Mapping[str, Tensor]) -> Any:
        device = next(self.module.parameters()).device
        try:
            output = self.module(pixel_values=inputs["pixel_values"].to(device))
        except TypeError as error:
            raise EncoderError(
                f"encoder={self.name}: expected a model for images, got "
                f"{type(self.module).__name__}: {error}"
            ) from error
        return output


def _as_image(sample: Path | Tensor) -> Any:
    """Returns a Pillow image in RGB, upright; values of a float tensor are in 0..1."""
    from PIL import Image, ImageOps

    if isinstance(sample, Path):
        with Image.open(sample) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    if sample.ndim != 3 or sample.shape[0] not in (1, 3):
        raise EncoderError(
            f"expected images [1 or 3, height, width], got a tensor {list(sample.shape)}; an "
            "encoder for other inputs is a torch.nn.Module: encoder={_target_: ...}"
        )
    pixels = sample if sample.dtype == torch.uint8 else (sample * 255).round().clamp(0, 255)
    return Image.fromarray(pixels.to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).cpu().numpy())
