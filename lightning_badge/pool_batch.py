"""What a pool data loader yields: a batch that says whose samples it holds."""

from typing import Any, NamedTuple

from lightning_badge.sample_ids import SampleId


class PoolBatch(NamedTuple):
    """Samples of the pool, and what their data set gives for them.

    A ``batch`` alone goes to the model; the ids stay in plain Python, so that pinning memory and
    moving to a device leave them as they are.

    Attributes:
        sample_ids: One id for each sample of the batch, in its order.
        batch: The collated samples, just as a data loader over the data set alone yields them.

    Example:
        >>> PoolBatch(sample_ids=(3, 17), batch=[0.1, 0.7]).sample_ids
        (3, 17)
    """

    sample_ids: tuple[SampleId, ...]
    batch: Any
