"""The first batches of a pool, as many as ``limit_predict_batches`` allows."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from lightning.fabric.utilities import rank_zero_info
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch import Trainer

from lightning_badge.callback.trainer_checks import is_trial
from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.reader import read_pool
from lightning_badge.pool_batch import PoolBatch


class FirstBatches(Iterable[Any]):
    """Iterates over the first batches of a pool's loader.

    Args:
        loader: Loader of the pool.
        n_batches: Number of batches.
        sample_id_key: Entry of each batch that holds the sample ids.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> [batch.tolist() for batch in FirstBatches(DataLoader(range(9), batch_size=2), 2)]
        [[0, 1], [2, 3]]
    """

    def __init__(
        self, loader: Iterable[Any], n_batches: int, sample_id_key: EntryKey | None = None
    ) -> None:
        self.limited_loader = loader
        self.n_batches = n_batches
        self.sample_id_key = sample_id_key

    def __len__(self) -> int:
        return self.n_batches

    def __iter__(self) -> Iterator[Any]:
        for ids, batch in islice(
            read_pool(self.limited_loader, self.sample_id_key), self.n_batches
        ):
            yield batch if ids is None else PoolBatch(ids.tolist(), batch)


def limited(
    trainer: Trainer,
    loader: Iterable[Any],
    sample_id_key: EntryKey | None = None,
    *,
    what: str = "pool",
) -> Iterable[Any]:
    """Returns the batches that ``limit_predict_batches`` allows, and logs the limit.

    ``fast_dev_run`` sets that limit: it orders as many batches as it trains on.

    Args:
        trainer: The Trainer that has the limit.
        loader: Loader of the pool.
        sample_id_key: Entry of each batch that holds the sample ids.
        what: Name of the samples in the log message.

    Returns:
        The loader itself if there is no limit.
    """
    n_batches = sized_len(loader)
    limit = trainer.limit_predict_batches
    if isinstance(limit, float):
        if limit == 1.0 or n_batches is None:
            return loader
        limit = int(limit * n_batches)
    if n_batches is not None and limit >= n_batches:
        return loader
    reason = "fast_dev_run" if is_trial(trainer) else "limit_predict_batches"
    of = "" if n_batches is None else f" of {n_batches:,}"
    rank_zero_info(f"BadgeCallback: {reason} limits the {what} to its first {limit:,}{of} batches")
    return FirstBatches(loader, limit, sample_id_key)
