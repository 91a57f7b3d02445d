"""Gradient embeddings (BADGE, arXiv 1906.03671, section 3), stored as rank-one factors.

The gradient of the loss with respect to the head's weight is the outer product of dL/dlogits and
the activations that enter the head. The products ``[n, c * h]`` are never formed.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding_checks import (
    check_memory,
    check_shapes,
    check_values,
    ids_of_rows,
    not_finite,
    reject_rows,
)
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.kernels import LOSSES, Factors, Loss
from lightning_badge.kernels.registry import resolve_backend
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids, fingerprint
from lightning_badge.shard import Shard

# Number of rows whose factors enter a content fingerprint.
FINGERPRINT_ROWS = 1024


@dataclass(frozen=True, eq=False)
class GradientEmbedding:
    """The loss gradients of the head for ``n`` samples at their hallucinated labels.

    Attributes:
        logit_grad: dL/dlogits at the hallucinated label, ``[n, c]``.
        penultimate: Activations that enter the head, ``[n, h]``, with an additional column of ones
            if the bias is embedded.
        sq_norm: Squared norm of each embedding, ``[n]`` float64.
        sample_ids: Ids of the samples, ``[n]``.
        hallucinated_label: Predicted class, ``[n]`` int64; None for multi-label and dense data.
        confidence: Probability of the hallucinated label, ``[n]``; for multi-label the smallest
            over the classes; None for dense data.
        loss: The loss that is differentiated; None for dense data.
        bias: Whether the gradient of the head's bias is embedded too.
        shard: If several processes hold the pool together, which part of it these rows are; None
            if they are the whole pool.
    """

    logit_grad: Tensor
    penultimate: Tensor
    sq_norm: Tensor
    sample_ids: SampleIds
    hallucinated_label: Tensor | None = None
    confidence: Tensor | None = None
    loss: Loss | None = None
    bias: bool = False
    shard: Shard | None = None

    @classmethod
    def from_logits(
        cls,
        penultimate: Tensor,
        logits: Tensor,
        *,
        loss: Loss = "cross_entropy",
        bias: bool = False,
        sample_ids: Iterable[SampleId] | None = None,
        backend: str = "auto",
    ) -> GradientEmbedding:
        """Builds the embedding from the input and the output of the head.

        Args:
            penultimate: Input of the head, ``[n, h]``, any floating dtype; half precision is upcast
                to float32.
            logits: Output of the head, ``[n, c]``; ``-inf`` marks a masked class.
            loss: ``cross_entropy`` or ``binary_cross_entropy`` (binary and multi-label).
            bias: Whether to embed the gradient of the head's bias too.
            sample_ids: ``[n]``, all int or all str; ``0..n-1`` by default.
            backend: The back end that computes gradients: ``auto``, ``torch``, ``numba`` or
                ``triton``.

        Raises:
            EmbeddingError: Wrong shapes, NaN or infinite values, or fewer than two classes with
                cross entropy.
            BadgeError: A back end that is unknown or cannot compute on this device and dtype.

        Example:
            >>> embedding = GradientEmbedding.from_logits(torch.ones(2, 4), torch.eye(2, 3))
            >>> embedding.logit_grad.shape, embedding.hallucinated_label.tolist()
            (torch.Size([2, 3]), [0, 1])
        """
        if loss not in LOSSES:
            raise EmbeddingError(f"loss: expected one of {', '.join(LOSSES)}, got {loss!r}")
        check_shapes(penultimate, logits, loss)
        ids = ids_of_rows(sample_ids, len(logits))
        penultimate, logits = _upcast(penultimate), logits.detach()
        check_values(penultimate, logits, ids, loss)
        if bias:
            ones = penultimate.new_ones(len(penultimate), 1)
            penultimate = torch.cat([penultimate, ones], dim=1)
        dtype = torch.promote_types(penultimate.dtype, logits.dtype)
        resolved = resolve_backend(backend, logits.device, len(logits), dtype)
        logit_grad, sq_norm = resolved.embed(penultimate, logits, loss=loss)
        reject_rows(~sq_norm.isfinite(), ids, "penultimate: too large to be squared")
        label, confidence = _hallucinate(logits, logit_grad, loss)
        return cls(logit_grad, penultimate, sq_norm, ids, label, confidence, loss=loss, bias=bias)

    @classmethod
    def from_dense(
        cls, rows: Tensor, *, sample_ids: Iterable[SampleId] | None = None
    ) -> GradientEmbedding:
        """Wraps a dense embedding ``[n, d]``; the other factor is a column of ones.

        Raises:
            EmbeddingError: Wrong shape, NaN or infinite values.
        """
        if rows.ndim != 2:
            raise EmbeddingError(f"dense embedding: expected [n, d], got {list(rows.shape)}")
        ids = ids_of_rows(sample_ids, len(rows))
        rows = _upcast(rows)
        reject_rows(not_finite(rows), ids, "dense embedding: NaN or inf")
        ones = rows.new_ones(len(rows), 1)
        factors = Factors.of(ones, rows)
        reject_rows(~factors.sq_norm.isfinite(), ids, "dense embedding: too large to be squared")
        return cls(ones, rows, factors.sq_norm, ids)

    def __len__(self) -> int:
        return len(self.logit_grad)

    @property
    def n_pool(self) -> int:
        """Number of rows of the whole pool, on all processes."""
        return len(self) if self.shard is None else len(self.shard)

    def whole_ids(self) -> SampleIds:
        """Returns the sample ids of the whole pool.

        Raises:
            EmbeddingError: Ids of different kinds, or repeated ones, on different processes.
        """
        if self.shard is None:
            return self.sample_ids
        return as_sample_ids(self.shard.whole_ids(self.sample_ids), error=EmbeddingError)

    def whole(self, column: Tensor) -> Tensor:
        """Returns a narrow column of the whole pool, given that of these rows, ``[n, ...]``."""
        return column if self.shard is None else self.shard.whole(column)

    def at(self, positions: Tensor, *columns: Tensor) -> tuple[Tensor, ...]:
        """Returns columns ``[n, ...]`` of these rows at positions ``[m]`` of the whole pool."""
        if self.shard is None:
            return tuple(column[positions] for column in columns)
        return self.shard.rows_at(positions, columns)

    @cached_property
    def factors(self) -> Factors:
        """The factors for the kernels; they share memory with these tensors."""
        return Factors.of(self.logit_grad, self.penultimate, self.sq_norm)

    @property
    def dtype(self) -> torch.dtype:
        """The wider dtype of the two factors, which determines the precision of distances."""
        return torch.promote_types(self.logit_grad.dtype, self.penultimate.dtype)

    def content_fingerprint(self) -> str:
        """Returns a hexadecimal digest of ids and values.

        It reads all norms, but only about 1,024 evenly spaced rows of the factors, so it is fast
        for large pools.
        """
        shape = (*self.logit_grad.shape, *self.penultimate.shape, self.loss, self.bias, self.dtype)
        ids = fingerprint(self.sample_ids, ordered=True)
        return content_digest([self.logit_grad, self.penultimate], self.sq_norm, (*shape, ids))

    def to(self, device: torch.device | str) -> GradientEmbedding:
        """Returns the embedding with its tensors on ``device``.

        Raises:
            EmbeddingError: A GPU that has not enough free memory.
        """
        check_memory(self.logit_grad, self.penultimate, torch.device(device))
        tensors: dict[str, Any] = {k: v.to(device) for k, v in self._tensors().items()}
        shard = None if self.shard is None else self.shard.to(torch.device(device))
        return dataclasses.replace(self, shard=shard, **tensors)

    def _tensors(self) -> dict[str, Tensor]:
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def take(self, rows: slice | npt.NDArray[np.int64]) -> GradientEmbedding:
        """Returns some of these rows; of a shard, without the rows of other processes."""
        index = rows if isinstance(rows, slice) else torch.from_numpy(rows)
        tensors: dict[str, Any] = {k: v[index] for k, v in self._tensors().items()}
        return dataclasses.replace(self, sample_ids=self.sample_ids[rows], shard=None, **tensors)

    def added(self, first: int) -> GradientEmbedding:
        """Returns the rows from position ``first`` of the pool on, which `concatenate` added."""
        if self.shard is None:
            return self.take(slice(first, None))
        shard = self.shard.after(first)
        n_own = int(shard.layout.own_starts[-1])
        rows = self.take(slice(len(self) - n_own, None))
        return dataclasses.replace(rows, shard=shard)

    def like(self, other: GradientEmbedding) -> GradientEmbedding:
        """Returns these rows on the device and in the dtype of ``other``.

        Raises:
            EmbeddingError: A different number of classes, width, loss or bias.
        """
        ours = (self.logit_grad.shape[1], self.penultimate.shape[1], self.loss, self.bias)
        theirs = (other.logit_grad.shape[1], other.penultimate.shape[1], other.loss, other.bias)
        if ours != theirs:
            raise EmbeddingError(
                f"expected classes, width, loss and bias {theirs}, as in the pool, got {ours}"
            )
        tensors: dict[str, Any] = {k: v.to(getattr(other, k)) for k, v in self._tensors().items()}
        return dataclasses.replace(self, **tensors)

    def concatenate(self, other: GradientEmbedding) -> GradientEmbedding:
        """Returns these rows followed by those of ``other``.

        Raises:
            EmbeddingError: A different number of classes, width, loss or bias, or ids in both; or
                only one of them is shared by several processes.
        """
        other = other.like(self)
        shard = None
        if self.shard is not None and other.shard is not None:
            shard = self.shard.concatenate(other.shard)
        elif self.shard is not other.shard:
            raise EmbeddingError(
                "expected rows with a shard, as the pool is shared by several processes, and "
                "rows without one if not; set shard= of both"
            )
        ids = as_sample_ids(
            [*self.sample_ids.tolist(), *other.sample_ids.tolist()], error=EmbeddingError
        )
        tensors: dict[str, Any] = {
            name: torch.cat([values, getattr(other, name)])
            for name, values in self._tensors().items()
        }
        return dataclasses.replace(self, sample_ids=ids, shard=shard, **tensors)

    def dense(self) -> Tensor:
        """Returns the outer products ``[n, c * h]``; for tests and tiny pools only."""
        return torch.einsum("nc,nh->nch", self.logit_grad, self.penultimate).flatten(1)


def content_digest(
    tensors: Iterable[Tensor], every: Tensor | None = None, names: object = ()
) -> str:
    """Returns a hexadecimal digest of about 1,024 evenly spaced rows of each tensor.

    Args:
        tensors: ``[n, ...]`` each.
        every: A small tensor that is read completely.
        names: Plain values to include; their ``repr`` must be stable.
    """
    digest = hashlib.blake2b(repr(names).encode(), digest_size=16)
    sampled = [tensor[:: max(1, len(tensor) // FINGERPRINT_ROWS)] for tensor in tensors]
    for tensor in sampled if every is None else [every, *sampled]:
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _upcast(values: Tensor) -> Tensor:
    values = values.detach()
    values = values if values.dtype == torch.float64 else values.to(torch.float32)
    return values.contiguous()  # here, so that later stages need no second copy


def _hallucinate(logits: Tensor, logit_grad: Tensor, loss: Loss) -> tuple[Tensor | None, Tensor]:
    """Returns the predicted class ``[n]`` (None for multi-label) and its probability ``[n]``."""
    if loss == "cross_entropy":
        label = logits.argmax(dim=1)
        return label, 1.0 + logit_grad.gather(1, label[:, None]).squeeze(1)
    confidence = 1.0 - logit_grad.abs().amax(dim=1)
    return ((logits[:, 0] > 0).long() if logits.shape[1] == 1 else None), confidence
