"""What an encoder is, and what it embeds."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from lightning_badge.exceptions import EncoderError

# What raw samples may be: strings, image files or image tensors, other tensors.
KINDS = ("texts", "images", "tensors")


class RawSamples(Protocol):
    """Samples as they are before any encoder: texts, images or tensors."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        ...

    @property
    def keys(self) -> Sequence[str]:
        """A name of each sample that stays the same when others arrive, ``[n]``, distinct."""
        ...

    def read(self, positions: Sequence[int]) -> list[Any]:
        """Returns samples: ``str``, paths of image files, or tensors."""
        ...


class Encoder(Protocol):
    """Turns raw samples into features.

    Attributes:
        name: What it is, in a few words.
        width: Numbers a sample.
        batch_size: Samples in a batch.
    """

    name: str
    width: int
    batch_size: int

    @property
    def pooling(self) -> str:
        """How one vector is made of a sample, in words, such as ``mean over tokens``."""
        ...

    @property
    def module(self) -> nn.Module | None:
        """The network, which ``fine_tune=true`` trains; None if there is none."""
        ...

    def fingerprint(self) -> str:
        """Returns a digest of all that features depend on, weights included."""
        ...

    def lengths(self, samples: Sequence[Any]) -> list[int] | None:
        """Returns by what samples are sorted into batches; None leaves them in their order."""
        ...

    def collate(self, samples: Sequence[Any]) -> Any:
        """Returns the inputs of the network for a batch of raw samples."""
        ...

    def embed(self, inputs: Any) -> Tensor:
        """Returns features ``[b, width]``, float32, with gradients if these are enabled."""
        ...


def digest_of(sample: Any) -> bytes:
    """Returns a digest of a raw sample, which changes with its contents.

    Raises:
        EncoderError: An image file that cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(sample, str):
        digest.update(sample.encode("utf-8", "surrogatepass"))
    elif isinstance(sample, Path):
        try:
            digest.update(sample.read_bytes())
        except OSError as error:
            raise EncoderError(f"{sample}: expected an image file: {error}") from error
    else:
        digest.update(f"{sample.dtype} {tuple(sample.shape)}".encode())
        digest.update(sample.detach().cpu().contiguous().numpy().tobytes())
    return digest.digest()
