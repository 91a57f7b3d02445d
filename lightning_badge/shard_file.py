"""One file of a pool that is embedded in pieces: the rows of some batches, in safetensors.

Tensors ``penultimate`` ``[m, h]`` and ``logits`` ``[m, c]``; ``sample_id`` ``[m]`` int64, or for
ids that are text ``sample_id_text``, their UTF-8 bytes one after the other, and ``sample_id_ends``
``[m]``. The header's key ``lightning_badge`` has the file's `ShardFacts` in JSON.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.durable.file import replacing
from lightning_badge.embedding_blocks import Block
from lightning_badge.embedding_columns import IDS
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.file_limits import opened
from lightning_badge.sample_ids import SampleIds, is_str

SUFFIX = ".safetensors"
_KEY, _TEXT, _ENDS = "lightning_badge", "sample_id_text", "sample_id_ends"


@dataclass(frozen=True)
class ShardFacts:
    """What a shard says of itself.

    Attributes:
        request: Digest of what was asked for: weights, pool and format.
        first: Number of its first batch.
        stop: Number of the batch after its last one.
        rows: Number of rows.
        head: Name of the classifier head.
        sample_id_source: What the ids are, in words.
        digest: Of all its tensors and of these facts.
    """

    request: str
    first: int
    stop: int
    rows: int
    head: str
    sample_id_source: str
    digest: str = ""


def safetensors(what: str, module: str = "safetensors") -> Any:
    """Imports safetensors, which is optional.

    Args:
        what: Subject of the error message.
        module: ``safetensors`` or ``safetensors.torch``.

    Raises:
        EmbeddingError: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise EmbeddingError(
            f"{what}: needs safetensors; pip install 'lightning-badge[safetensors]'"
        ) from error


def write_shard(
    path: Path, facts: ShardFacts, sample_ids: SampleIds, penultimate: Tensor, logits: Tensor
) -> ShardFacts:
    """Writes a shard atomically; returns its facts with the digest.

    Args:
        path: The file.
        facts: What the shard says of itself, without the digest.
        sample_ids: ``[m]``.
        penultimate: ``[m, h]``.
        logits: ``[m, c]``.

    Raises:
        EmbeddingError: The file cannot be written.
    """
    save_file = safetensors(str(path), "safetensors.torch").save_file
    arrays = {"penultimate": penultimate, "logits": logits}
    tensors = {name: values.cpu().contiguous() for name, values in arrays.items()}
    tensors |= _tensors_of_ids(sample_ids)
    facts = replace(facts, digest=_digest(tensors, facts))
    # One key: several would be written in an arbitrary order.
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, {_KEY: json.dumps(asdict(facts))})
    except OSError as error:
        raise EmbeddingError(f"{path}: cannot be written: {error.strerror or error}") from error
    return facts


def read_shard(path: Path) -> tuple[ShardFacts, Block]:
    """Reads a shard and checks its digest.

    Raises:
        EmbeddingError: A file that is missing, torn, damaged, or no shard.
    """
    package = safetensors(str(path))
    with opened(path, "a shard", EmbeddingError):
        with package.safe_open(path, framework="pt") as file:
            facts = ShardFacts(**json.loads((file.metadata() or {})[_KEY]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not _is_as_written(facts, tensors):
            raise EmbeddingError(
                f"{path}: damaged: its content has another digest than when written"
            )
        ids = _ids_of_tensors(tensors)
        return facts, Block(ids, tensors["penultimate"], tensors["logits"], path)


def _is_as_written(facts: ShardFacts, tensors: dict[str, Tensor]) -> bool:
    # Shards of earlier versions have the digest of their tensors alone.
    return facts.digest in (_digest(tensors, facts), _digest(tensors))


def _tensors_of_ids(ids: SampleIds) -> dict[str, Tensor]:
    if not is_str(ids):
        return {IDS: torch.from_numpy(ids.astype(np.int64))}
    texts = [str(text).encode() for text in ids.tolist()]
    ends = np.cumsum([len(text) for text in texts], dtype=np.int64)
    joined = np.frombuffer(b"".join(texts), np.uint8).copy()
    return {_TEXT: torch.from_numpy(joined), _ENDS: torch.from_numpy(ends)}


def _ids_of_tensors(tensors: dict[str, Tensor]) -> SampleIds:
    if IDS in tensors:
        numbers: SampleIds = tensors[IDS].numpy()
        return numbers
    joined, ends = tensors[_TEXT].numpy().tobytes(), tensors[_ENDS].tolist()
    starts = [0, *ends[:-1]]
    texts = [joined[start:end].decode() for start, end in zip(starts, ends, strict=True)]
    return np.array(texts, dtype=np.object_)


def _digest(tensors: dict[str, Tensor], facts: ShardFacts | None = None) -> str:
    digest = hashlib.blake2b(digest_size=16)
    if facts is not None:
        digest.update(json.dumps(asdict(replace(facts, digest="")), sort_keys=True).encode())
    for name in sorted(tensors):
        values = tensors[name].contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().data if len(values) else b"")
    return digest.hexdigest()
