"""`PoolBatch`: a batch together with the ids of its samples, for pool data loaders."""

from typing import Any, NamedTuple

from lightning_badge.sample_ids import SampleId


class PoolBatch(NamedTuple):
    """A batch of pool samples with their ids.

    Only ``batch`` is passed to the model. The ids are plain Python values, so pinning memory and
    moving to a device do not change them.

    Attributes:
        sample_ids: The id of each sample, in the order of the batch.
        batch: The collated samples, as the data loader of the data set yields them without ids.

    Example:
        >>> PoolBatch(sample_ids=(3, 17), batch=[0.1, 0.7]).sample_ids
        (3, 17)
    """

    sample_ids: tuple[SampleId, ...]
    batch: Any
