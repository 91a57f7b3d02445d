"""Builds the gradient embedding of a pool that is read block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.kernels import Loss
from lightning_badge.kernels.registry import resolve_backend
from lightning_badge.pool_memory import matrices
from lightning_badge.sample_ids import SampleIds, as_sample_ids, is_str


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a pool.

    Attributes:
        sample_ids: ``[b]``; None if the pool has no ids.
        penultimate: ``[b, h]`` floats.
        logits: ``[b, c]`` floats.
        source: The file they come from, for error messages.
    """

    sample_ids: SampleIds | None
    penultimate: Tensor
    logits: Tensor
    source: Path

    @property
    def widths(self) -> dict[str, int]:
        """The number of columns of each array."""
        return {name: getattr(self, name).shape[1] for name in ("penultimate", "logits")}


@dataclass(frozen=True)
class BlockedPool:
    """A pool in a folder that is read in blocks.

    Attributes:
        folder: The folder.
        n: Number of rows.
        dtype: Of the embedding: float32, or float64 where one of the columns is.
        read: Returns the blocks, in the order of the rows.
        loss: The loss that the folder names; None if it names none.
        facts: What the folder says of the pool, for the metadata of an ordering.
    """

    folder: Path
    n: int
    dtype: torch.dtype
    read: Callable[[], Iterator[Block]]
    loss: Loss | None = None
    facts: dict[str, Any] | None = None


def embed_blocks(
    pool: BlockedPool,
    *,
    loss: Loss,
    bias: bool = False,
    sample_ids: SampleIds | None = None,
    backend: str = "auto",
) -> GradientEmbedding:
    """Embeds a pool block by block, so that only the factors of the embedding exist as a whole.

    They lie in main memory, or in a file if they need too large a share of that.

    Args:
        pool: The pool.
        loss: As in `GradientEmbedding.from_logits`, and so are the other arguments.
        bias: Whether to embed the gradient of the head's bias too.
        sample_ids: Ids ``[n]`` instead of those of the pool.
        backend: The back end that computes gradients.

    Raises:
        EmbeddingError: No rows, blocks of several widths, repeated or missing ids, or values that
            cannot be embedded.
    """
    # One back end for all blocks, as for the whole pool.
    chosen = resolve_backend(backend, "cpu", pool.n, pool.dtype).name
    rows: _Rows | None = None
    for block in pool.read():
        ids = block.sample_ids
        if sample_ids is not None:
            start = 0 if rows is None else rows.count
            ids = sample_ids[start : start + len(block.logits)]
        if ids is None:
            raise EmbeddingError(f"{block.source}: expected sample_id; give ids=... instead")
        try:
            part = GradientEmbedding.from_logits(
                block.penultimate.to(pool.dtype),
                block.logits.to(pool.dtype),
                loss=loss,
                bias=bias,
                sample_ids=ids,
                backend=chosen,
            )
        except EmbeddingError as error:
            raise EmbeddingError(f"{block.source}: {error}") from error
        if rows is None:
            rows = _Rows(pool, part, block)
        rows.append(part, block)
    if rows is None:
        raise EmbeddingError(f"{pool.folder}: expected one row or more, got none")
    return rows.finish()


class _Rows:
    """The factors of a whole pool, filled from the first row to the last."""

    def __init__(self, pool: BlockedPool, first: GradientEmbedding, block: Block) -> None:
        self.count = 0
        self._pool, self._first = pool, first
        self._widths, self._source = block.widths, block.source
        n = pool.n
        shapes = [(n, factor.shape[1]) for factor in (first.logit_grad, first.penultimate)]
        a, h = matrices(shapes, first.dtype, pool.folder, str(pool.folder))
        self._tensors = {"logit_grad": a, "penultimate": h, "sq_norm": first.sq_norm.new_empty(n)}
        for name in ("hallucinated_label", "confidence"):
            values: Tensor | None = getattr(first, name)
            if values is not None:
                self._tensors[name] = values.new_empty(n)
        self._ids: list[SampleIds] = []

    def append(self, part: GradientEmbedding, block: Block) -> None:
        """Adds a block."""
        start, stop, source = self.count, self.count + len(part), block.source
        for name, width in block.widths.items():
            if width != self._widths[name]:
                raise EmbeddingError(
                    f"{source}: expected {name} of one width, {self._widths[name]} as in "
                    f"{self._source}, got {width}"
                )
        if is_str(part.sample_ids) != is_str(self._first.sample_ids):
            kinds = ["str" if is_str(e.sample_ids) else "int" for e in (self._first, part)]
            raise EmbeddingError(
                f"{source}: expected sample ids of one type, {kinds[0]} as in {self._source}, got "
                f"{kinds[1]}"
            )
        if stop > self._pool.n:
            raise EmbeddingError(
                f"{source}: expected {self._pool.n} rows in {self._pool.folder}, as its files say, "
                f"got more"
            )
        for name, whole in self._tensors.items():
            whole[start:stop] = getattr(part, name)
        self._ids.append(part.sample_ids)
        self.count = stop

    def finish(self) -> GradientEmbedding:
        """Returns the embedding of the whole pool."""
        pool, tensors = self._pool, self._tensors
        if self.count != pool.n:
            raise EmbeddingError(f"{pool.folder}: expected {pool.n} rows, got {self.count}")
        ids: Any = np.concatenate(self._ids)
        try:
            as_sample_ids(ids, error=EmbeddingError)
        except EmbeddingError as error:
            raise EmbeddingError(f"{pool.folder}: {error}") from error
        first = self._first
        return GradientEmbedding(
            tensors["logit_grad"],
            tensors["penultimate"],
            tensors["sq_norm"],
            ids,
            tensors.get("hallucinated_label"),
            tensors.get("confidence"),
            loss=first.loss,
            bias=first.bias,
        )
