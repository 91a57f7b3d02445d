"""What a pool data loader yields: a batch with the ids of its samples."""

from typing import Any, NamedTuple

from lightning_badge.sample_ids import SampleId


class PoolBatch(NamedTuple):
    """A batch of the pool, and the ids of its samples.

    The model gets ``batch`` only. The ids stay plain Python values, so that neither pinning memory
    nor moving to a device changes them.

    Attributes:
        sample_ids: One id for each sample of the batch, in its order.
        batch: The collated samples, as a data loader over the data set alone yields them.

    Example:
        >>> PoolBatch(sample_ids=(3, 17), batch=[0.1, 0.7]).sample_ids
        (3, 17)
    """

    sample_ids: tuple[SampleId, ...]
    batch: Any
