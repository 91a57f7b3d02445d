"""Tries one batch of the pool before training, so that errors come before the first step."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import BatchSampler

from lightning_badge.callback.first_batches import FirstBatches
from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.ids_at_hand import reject_repeated_ids
from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.capture.loader_order import reject_other_order
from lightning_badge.capture.pool import capture_pool
from lightning_badge.capture.positions import positions_of_loader
from lightning_badge.capture.reader import loader_generators
from lightning_badge.exceptions import CaptureError
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import as_sample_ids


def try_first_batch(
    trainer: Trainer,
    pl_module: LightningModule,
    loader: Iterable[Any],
    *,
    head: str | None = None,
    sample_id_key: EntryKey | None = None,
) -> CapturedPool | None:
    """Captures the first batch of the pool.

    Modes, hooks and random states are restored, also after an exception.

    Args:
        trainer: As in `capture_pool`.
        pl_module: As in `capture_pool`.
        loader: Loader of the pool.
        head: As in `capture_pool`.
        sample_id_key: As in `capture_pool`.

    Returns:
        The captured rows; None if the pool is empty or is an iterator that can be read only once.

    Raises:
        CaptureError: What `capture_pool` raises, a loader that drops samples, a stream without ids
            whose first batch differs between two reads, and repeated ids that can be seen without
            loading samples.
        HeadError: The head cannot be found.
    """
    if isinstance(loader, Iterator):
        return None
    with untouched_random_state(*loader_generators(loader)):
        batches = list(FirstBatches(loader, 1, sample_id_key))
        if not batches:
            return None
        first = None
        if isinstance(batches[0], PoolBatch):
            first = as_sample_ids(batches[0].sample_ids, unique=False, error=CaptureError)
        else:
            _reject_dropped_samples(loader)
            reject_other_order(loader)
        reject_repeated_ids(loader, first, sample_id_key)
        captured = capture_pool(trainer, pl_module, batches, head=head, sample_id_key=sample_id_key)
        if first is None:  # a list of batches does not say what positions mean
            captured = replace(captured, id_source=positions_of_loader(loader).meaning)
        return captured


def _reject_dropped_samples(loader: Iterable[Any]) -> None:
    batches = getattr(loader, "batch_sampler", None)
    if not isinstance(batches, BatchSampler) or not batches.drop_last:
        return
    n = len(batches.sampler)  # type: ignore[arg-type]
    if dropped := n % batches.batch_size:
        raise CaptureError(
            f"the pool's loader drops its last batch, {dropped} of {n} samples; expected each "
            "sample of the pool; pass drop_last=False"
        )
