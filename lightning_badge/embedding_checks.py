"""Checks of the numbers and ids that a gradient embedding is built from."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from lightning_badge.exceptions import EmbeddingError
from lightning_badge.kernels import Loss
from lightning_badge.kernels.factors import row_blocks
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids, name_ids


def ids_of_rows(sample_ids: Iterable[SampleId] | None, n: int) -> SampleIds:
    """Returns the ids of ``n`` rows, ``0..n-1`` if none are given, or raises an EmbeddingError."""
    if sample_ids is None:
        return np.arange(n, dtype=np.int64)
    ids = as_sample_ids(sample_ids, error=EmbeddingError)
    if len(ids) != n:
        raise EmbeddingError(f"sample_ids: expected one per row, {n}, got {len(ids)}")
    return ids


def check_shapes(penultimate: Tensor, logits: Tensor, loss: Loss) -> None:
    """Raises an EmbeddingError unless the shapes are ``[n, h]`` and ``[n, c]`` and fit the loss."""
    if penultimate.ndim != 2 or logits.ndim != 2 or len(penultimate) != len(logits):
        raise EmbeddingError(
            "expected penultimate [n, h] and logits [n, c] with the same n, got "
            f"{list(penultimate.shape)} and {list(logits.shape)}"
        )
    if loss == "cross_entropy" and logits.shape[1] < 2:
        raise EmbeddingError(
            f"logits: cross_entropy needs two classes or more, got {list(logits.shape)}; "
            "for a single output use loss='binary_cross_entropy'"
        )
    if logits.shape[1] < 1:
        raise EmbeddingError(f"logits: expected one class or more, got {list(logits.shape)}")


def check_values(penultimate: Tensor, logits: Tensor, ids: SampleIds, loss: Loss) -> None:
    """Raises an EmbeddingError that names the rows from which no gradient follows."""
    diverged = "; did training diverge?"
    reject_rows(not_finite(penultimate), ids, f"penultimate: NaN or inf{diverged}")
    reject_rows(logits.isnan().any(dim=1), ids, f"logits: NaN{diverged}")
    reject_rows((logits == torch.inf).any(dim=1), ids, f"logits: +inf{diverged}")
    if loss == "cross_entropy":
        masked = (logits == -torch.inf).all(dim=1)
        reject_rows(masked, ids, "logits: every class masked with -inf; leave one class unmasked")


def check_memory(logit_grad: Tensor, penultimate: Tensor, device: torch.device) -> None:
    """Raises an EmbeddingError if a GPU has not enough free memory to order these factors."""
    if device.type != "cuda" or logit_grad.device.type == "cuda":
        return
    n, c, h = *logit_grad.shape, penultimate.shape[1]
    size = penultimate.element_size()
    # Besides the factors, an ordering keeps some ten numbers of 8 bytes for each row.
    needed, (free, _) = n * ((c + h) * size + 80), torch.cuda.mem_get_info(device)
    if needed > free:
        raise EmbeddingError(
            f"{device}: expected {needed / 2**30:.1f} GiB of free memory, {n:,} rows x ({c} "
            f"classes + {h} activations) x {size} bytes and 80 bytes a row, "
            f"got {free / 2**30:.1f}; "
            "order on the CPU (device='cpu')"
        )


def not_finite(rows: Tensor) -> Tensor:
    """Returns which rows ``[n]`` contain NaN or inf, without a temporary as large as ``rows``."""
    bad = rows.new_empty(len(rows), dtype=torch.bool)
    for block in row_blocks(rows):
        bad[block] = ~rows[block].isfinite().all(dim=1)
    return bad


def reject_rows(bad: Tensor, ids: SampleIds, problem: str) -> None:
    """Raises an EmbeddingError that names the rows that are ``bad`` ``[n]``."""
    if count := int(bad.sum()):
        first = name_ids(ids[bad.cpu().numpy()].tolist())
        raise EmbeddingError(f"{problem} ({count} of {len(ids)} rows; sample ids {first})")
