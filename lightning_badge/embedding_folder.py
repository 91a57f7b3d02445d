"""A gradient embedding on disk, which is read again by mapping its files into memory.

The folder holds an array of each tensor, and ``embedding.json`` with the ids, the loss and whether
the bias is embedded. That file is written last: without it the folder is not whole.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.array_file import read_npy
from lightning_badge.durable.file import replacing, sync
from lightning_badge.durable.leftovers import sweep
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.file_limits import one_line, read_json
from lightning_badge.sample_ids import as_sample_ids

EMBEDDING = "embedding"  # the folder in that of a round
_FACTS = "embedding.json"
_TENSORS = ("logit_grad", "penultimate", "sq_norm")
_OPTIONAL = ("hallucinated_label", "confidence")


def write_embedding_folder(embedding: GradientEmbedding, folder: Path) -> None:
    """Writes an embedding, in place of the one that the folder holds.

    Args:
        embedding: The whole pool.
        folder: The folder; created if missing.

    Raises:
        EmbeddingError: Several processes hold the embedding together, or a file cannot be written.
    """
    if embedding.shard is not None:
        raise EmbeddingError(
            f"{folder}: expected an embedding of one process, got a part of one; use one process"
        )
    facts = {
        "sample_ids": embedding.sample_ids.tolist(),
        "loss": embedding.loss,
        "bias": embedding.bias,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FACTS).unlink(missing_ok=True)
        sweep(folder, _FACTS.__eq__)
        for name in (*_TENSORS, *_OPTIONAL):
            tensor: Tensor | None = getattr(embedding, name)
            if tensor is not None:
                np.save(folder / f"{name}.npy", tensor.cpu().numpy())
                sync(folder / f"{name}.npy")
        with replacing(folder / _FACTS) as temporary:
            temporary.write_text(json.dumps(facts), encoding="utf-8")
    except OSError as error:
        raise EmbeddingError(f"{folder}: cannot be written: {error.strerror or error}") from error


def read_embedding_folder(folder: Path) -> GradientEmbedding:
    """Reads an embedding without copying it into memory.

    Raises:
        EmbeddingError: The folder is missing, damaged or not whole.
    """
    expected = "an embedding in this folder"
    facts = read_json(folder / _FACTS, expected, EmbeddingError)
    with one_line(folder, expected, EmbeddingError):
        found: dict[str, Any] = {
            name: _mapped(folder / f"{name}.npy")
            for name in (*_TENSORS, *_OPTIONAL)
            if name in _TENSORS or (folder / f"{name}.npy").exists()
        }
        ids = as_sample_ids(facts["sample_ids"])
        if any(len(values) != len(ids) for values in found.values()):
            raise ValueError("arrays of another length than the ids")
        return GradientEmbedding(sample_ids=ids, loss=facts["loss"], bias=facts["bias"], **found)


def _mapped(path: Path) -> Tensor:
    # Copy on write: torch refuses memory that cannot be written.
    return torch.from_numpy(read_npy(path, EmbeddingError, is_written=True))
