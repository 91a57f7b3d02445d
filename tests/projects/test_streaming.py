"""Pools that arrive as streams: Hugging Face's iterable data sets, and plain ones of torch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from dense import assert_gains, dense_gradients
from tiny import LIGHTNING_WARNINGS, Classifier, blobs, loader, make_trainer
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.exceptions import CaptureError
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering

pytestmark = LIGHTNING_WARNINGS

N = 60


def rows() -> Tensor:
    return blobs(N).tensors[0]


def stream(**steps: dict[str, Any]) -> Any:
    """Returns a data set of Hugging Face as a stream, after some of its own methods."""
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"x": rows().tolist(), "id": [f"row {i}" for i in range(N)]})
    streamed = table.to_iterable_dataset(num_shards=2)
    for method, arguments in steps.items():
        streamed = getattr(streamed, method)(**arguments)
    return streamed.with_format("torch")


def order_pool(root: Path, pool: Any, **arguments: Any) -> tuple[Ordering, Classifier]:
    torch.manual_seed(0)
    model = Classifier()
    callback = BadgeCallback(pool=pool, dirpath=root, **arguments)
    make_trainer(root, callbacks=[callback]).validate(model, loader(16), verbose=False)
    return read_ordering(root / "ordering.parquet"), model


def gradients_of(model: Classifier) -> Tensor:
    network = model.network.double().eval()
    with torch.no_grad():
        penultimate = network[:-1](rows().double())
    return dense_gradients(penultimate, network[-1].weight, network[-1].bias)


SHUFFLE = {"shuffle": {"seed": 0, "buffer_size": 20}}


@pytest.mark.parametrize("steps", [{}, SHUFFLE, {**SHUFFLE, "map": {"function": dict}}])
def test_with_ids_gains_belong_to_their_rows(tmp_path: Path, steps: dict[str, Any]) -> None:
    pool = DataLoader(stream(**steps), batch_size=8)
    ordering, model = order_pool(tmp_path, pool, sample_id_key="id")
    assert_gains(ordering, [f"row {i}" for i in range(N)], gradients_of(model))


def test_in_a_certain_order_positions_are_ids(tmp_path: Path) -> None:
    ordering, model = order_pool(tmp_path, DataLoader(stream(), batch_size=8))
    assert_gains(ordering, range(N), gradients_of(model))
    assert "order in which samples arrive" in ordering.metadata["sample_id_source"]


@pytest.mark.parametrize("steps", [SHUFFLE, {**SHUFFLE, "take": {"n": 50}}])
def test_a_shuffle_buffer_without_ids_is_refused(tmp_path: Path, steps: dict[str, Any]) -> None:
    with pytest.raises(CaptureError, match=r"shuffles \(Buffer.*sample_id_key=.*PoolBatch"):
        order_pool(tmp_path, DataLoader(stream(**steps), batch_size=8))
    assert not list(tmp_path.iterdir())


def test_shards_shuffled_by_the_epoch_are_refused(tmp_path: Path) -> None:
    streamed = stream()
    streamed.set_epoch(1)
    with pytest.raises(CaptureError, match=r"shuffles \(IterableDataset"):
        order_pool(tmp_path, DataLoader(streamed, batch_size=8))


@pytest.mark.slow
class TestWorkers:
    def test_with_ids_gains_belong_to_their_rows(self, tmp_path: Path) -> None:
        pool = DataLoader(stream(), batch_size=8, num_workers=2)
        ordering, model = order_pool(tmp_path, pool, sample_id_key="id")
        assert_gains(ordering, [f"row {i}" for i in range(N)], gradients_of(model))

    def test_without_ids_they_are_refused(self, tmp_path: Path) -> None:
        class EveryWorkerReadsAll(IterableDataset[Tensor]):
            def __iter__(self) -> Iterator[Tensor]:
                return iter(rows())

        for pool in (stream(), EveryWorkerReadsAll()):
            with pytest.raises(CaptureError, match="2 worker processes.*sample_id_key=.*PoolBatch"):
                order_pool(tmp_path, DataLoader(pool, batch_size=8, num_workers=2))
        assert not list(tmp_path.iterdir())
