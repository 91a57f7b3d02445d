"""Collects inputs and outputs of the head, batch by batch, into two matrices with ids."""

from itertools import chain

import numpy as np
import torch
from torch import Tensor

from lightning_badge.exceptions import CaptureError
from lightning_badge.sample_ids import SampleIds, as_sample_ids


class PoolRows:
    """Rows of the pool: one id, one row of activations and one row of logits for each sample.

    If the size of the pool is known, the matrices are allocated once: on the model's device, or in
    main memory if they would fill more than half of the device's free memory.

    Args:
        n: Number of samples of the pool; None if unknown.
        ids: Ids ``[n]`` of samples that come without ids, in order; None for ``0..n-1``.

    Example:
        >>> rows = PoolRows(3)
        >>> rows.append(None, torch.ones(2, 5), torch.ones(2, 4))
        >>> rows.append(None, torch.ones(1, 5), torch.ones(1, 4))
        >>> ids, penultimate, logits = rows.finish()
        >>> ids.tolist(), penultimate.shape, logits.shape
        ([0, 1, 2], torch.Size([3, 5]), torch.Size([3, 4]))
    """

    def __init__(self, n: int | None, ids: SampleIds | None = None) -> None:
        self._n = n
        self._given_ids = ids
        self._count = 0
        self._ids: list[SampleIds] = []
        self._are_positions = False
        self._batches: list[tuple[Tensor, Tensor]] = []
        self._whole: tuple[Tensor, Tensor] | None = None

    def append(self, ids: SampleIds | None, penultimate: Tensor, logits: Tensor) -> None:
        """Adds a batch.

        Args:
            ids: ``[b]``; None for the next ids.
            penultimate: ``[b, h]``.
            logits: ``[b, c]``.

        Raises:
            CaptureError: The numbers of rows and ids differ, or there are more rows than samples.
        """
        start, stop = self._count, self._count + len(logits)
        if ids is None:
            self._are_positions = True
            ids = self._next_ids(start, stop)
        elif len(ids) != len(logits):
            raise CaptureError(
                f"expected one row for each sample, but a batch of {len(ids)} samples gave the "
                f"head {len(logits)} rows"
            )
        if self._n is not None and stop > self._n:
            raise CaptureError(
                f"expected one row for each of the pool's {self._n} samples, got {stop} and more; "
                "does the model make several rows of a sample, or the loader repeat samples?"
            )
        self._ids.append(ids)
        self._count = stop
        self._store(start, stop, penultimate, logits)

    def finish(self) -> tuple[SampleIds, Tensor, Tensor]:
        """Returns ids ``[n]``, activations ``[n, h]`` and logits ``[n, c]``.

        The tensors are normal tensors, also under ``torch.inference_mode``.

        Raises:
            CaptureError: No rows, a repeated id, or missing samples.
        """
        if not self._count:
            raise CaptureError("the pool is empty: expected one sample or more to order")
        if self._are_positions and self._n is not None and self._count < self._n:
            raise missing_samples(self._n, self._count)
        plain = chain.from_iterable(batch.tolist() for batch in self._ids)
        ids = as_sample_ids(plain, error=CaptureError)
        if self._whole is not None:
            penultimate, logits = self._whole
            return ids, penultimate[: self._count], logits[: self._count]
        with torch.inference_mode(False):
            activations, outputs = zip(*self._batches, strict=True)
            return ids, torch.cat(activations), torch.cat(outputs)

    def _next_ids(self, start: int, stop: int) -> SampleIds:
        if self._given_ids is None:
            return np.arange(start, stop, dtype=np.int64)
        return self._given_ids[start:stop]

    def _store(self, start: int, stop: int, penultimate: Tensor, logits: Tensor) -> None:
        if self._n is None:
            self._batches.append((penultimate, logits))
            return
        if self._whole is None:
            self._whole = _allocate(self._n, penultimate, logits)
        for whole, batch in zip(self._whole, (penultimate, logits), strict=True):
            whole[start:stop] = batch


def missing_samples(n: int, count: int) -> CaptureError:
    """Returns the error that a loader gave ``count`` of the pool's ``n`` samples."""
    return CaptureError(
        f"expected one row for each of the pool's {n} samples, got {count}; "
        "does the loader drop its last batch (drop_last=False keeps it)?"
    )


def _allocate(n: int, penultimate: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    row_bytes = penultimate[0].nbytes + logits[0].nbytes
    device = penultimate.device
    if n * row_bytes > _free_bytes(device) / 2:
        device = torch.device("cpu")
    with torch.inference_mode(False):
        return (
            penultimate.new_empty(n, penultimate.shape[1], device=device),
            logits.new_empty(n, logits.shape[1], device=device),
        )


def _free_bytes(device: torch.device) -> float:
    if device.type != "cuda":
        return float("inf")
    # Memory that the allocator has reserved but not used is free too.
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
