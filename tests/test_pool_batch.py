import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch.utils.data._utils.pin_memory import pin_memory

from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import SampleId


@pytest.mark.parametrize("sample_ids", [(3, 10**12), ("a", "b/c.png")])
def test_ids_stay_plain_when_a_batch_moves_to_a_device(sample_ids: tuple[SampleId, ...]) -> None:
    batch = PoolBatch(sample_ids, {"x": torch.zeros(2, 3)})
    moved = SingleDeviceStrategy(device="cpu").batch_to_device(batch, torch.device("meta"))
    assert isinstance(moved, PoolBatch)
    assert moved.sample_ids == sample_ids
    assert moved.batch["x"].device.type == "meta"


@pytest.mark.parametrize("sample_ids", [(3, 10**12), ("a", "b/c.png")])
def test_ids_stay_plain_when_memory_is_pinned(sample_ids: tuple[SampleId, ...]) -> None:
    pinned = pin_memory(PoolBatch(sample_ids, ["texts", "only"]))
    assert isinstance(pinned, PoolBatch)
    assert tuple(pinned.sample_ids) == sample_ids
