import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    Sampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)
from torch.utils.data.distributed import DistributedSampler

from lightning_badge.capture.reader import loader_generators, pool_size, read_pool
from lightning_badge.exceptions import CaptureError
from lightning_badge.pool_batch import PoolBatch


class Items(Dataset[Any]):
    """A data set whose item ``i`` is what a function makes of ``i``."""

    def __init__(self, make: Any, n: int = 6) -> None:
        self.make, self.n = make, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, position: int) -> Any:
        return self.make(position)


class Incomparable:
    """Refuses comparison, as a table does whose truth is ambiguous."""

    def __eq__(self, other: object) -> bool:
        raise ValueError

    __hash__ = None


class Backwards(Sampler[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5, -1, -1))

    def __len__(self) -> int:
        return 6


class Counting(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


def same(items: list[Any]) -> list[Any]:
    return items


def read(loader: Iterable[Any], key: str | None = None) -> list[Any]:
    return list(read_pool(loader, key))


class TestIds:
    def test_pool_batches_tell_them(self) -> None:
        ((ids, batch),) = read([PoolBatch(("a", "b"), [1, 2])])
        assert (ids.tolist(), batch) == (["a", "b"], [1, 2])

    @pytest.mark.parametrize("ids", [torch.tensor([4, 2]), [4, 2], np.array([4, 2])])
    def test_a_key_of_dict_batches_tells_them(self, ids: Any) -> None:
        batch = {"id": ids, "x": torch.zeros(2)}
        assert read([batch], "id")[0][0].tolist() == [4, 2]

    def test_otherwise_they_are_positions(self) -> None:
        assert [ids for ids, _ in read(DataLoader(range(5), batch_size=2))] == [None] * 3

    def test_a_missing_key_lists_the_keys(self) -> None:
        with pytest.raises(CaptureError, match="'id'.*got a dict of 'x', 'y'"):
            read([{"x": 1, "y": 2}], "id")

    def test_a_key_without_dicts_is_an_error(self) -> None:
        with pytest.raises(CaptureError, match="expected each batch to be a dict.*got a list"):
            read([[1, 2]], "id")

    def test_a_position_in_tuple_batches_tells_them(self) -> None:
        ((ids, batch),) = read([(torch.zeros(2), ["a", "b"])], 1)
        assert ids.tolist() == ["a", "b"]
        assert len(batch) == 2

    def test_ids_of_an_unknown_kind_are_an_error(self) -> None:
        with pytest.raises(CaptureError, match="all int or all str, got float"):
            read([{"id": [0.5]}], "id")


class TestOrderOfTheLoader:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"shuffle": True},
            {"sampler": SubsetRandomSampler(range(6))},
            {"sampler": WeightedRandomSampler([1.0] * 6, 6)},
            {"sampler": DistributedSampler(range(6), num_replicas=1, rank=0, shuffle=True)},
        ],
    )
    def test_a_loader_that_shuffles_is_an_error(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(CaptureError, match=r"shuffles \(.*Sampler\).*pass shuffle=False"):
            read(DataLoader(range(6), **arguments))

    @pytest.mark.parametrize(
        "arguments", [{"sampler": Backwards()}, {"batch_sampler": [[5, 4, 3], [2, 1, 0]]}]
    )
    def test_positions_by_a_sampler_of_ones_own_draw_a_warning(
        self, arguments: dict[str, Any]
    ) -> None:
        with pytest.warns(UserWarning, match="may read the data set in another order"):
            read(DataLoader(range(6), **arguments))

    def test_with_ids_any_fixed_order_will_do(self) -> None:
        data = Items(lambda position: {"id": position})
        batches = read(DataLoader(data, sampler=Backwards(), batch_size=6), "id")
        assert batches[0][0].tolist() == [5, 4, 3, 2, 1, 0]

    def test_a_stream_has_no_sampler_to_look_at(self) -> None:
        assert len(read(DataLoader(Counting(), batch_size=2))) == 3


class Permuted(IterableDataset[int]):
    """Shuffles in a way that no attribute tells."""

    def __iter__(self) -> Iterator[int]:
        return iter(torch.randperm(50).tolist())


class ShuffleBuffer(IterableDataset[int]):
    def __init__(self, source: Any) -> None:
        self.source = source

    def __iter__(self) -> Iterator[int]:
        return iter(self.source)


class Wraps(ShuffleBuffer):
    pass


class Flagged(Counting):
    def __init__(self, shuffle: bool) -> None:
        self.shuffle = shuffle


def with_ids(numbers: list[int]) -> PoolBatch:
    return PoolBatch(tuple(numbers), torch.tensor(numbers))


class TestStreams:
    def test_worker_processes_are_an_error(self) -> None:
        with pytest.raises(
            CaptureError, match="1 worker processes read.*sample_id_key=.*PoolBatch.*num_workers=0"
        ):
            read(DataLoader(Counting(), num_workers=1))

    @pytest.mark.parametrize(
        ("stream", "name"),
        [
            (ShuffleBuffer(Counting()), "ShuffleBuffer"),
            (Wraps(Wraps(ShuffleBuffer(Counting()))), "ShuffleBuffer"),
            (Wraps([Counting(), ShuffleBuffer(Counting())]), "ShuffleBuffer"),
            (Flagged(shuffle=True), "Flagged"),
        ],
    )
    def test_a_stream_that_says_it_shuffles_is_an_error(self, stream: Any, name: str) -> None:
        with pytest.raises(CaptureError, match=rf"shuffles \({name}\).*sample_id_key="):
            read(DataLoader(stream, collate_fn=same))

    def test_a_stream_in_another_order_at_a_second_read_is_an_error(self) -> None:
        torch.manual_seed(0)
        with pytest.raises(CaptureError, match="first batch differs between two reads"):
            read(DataLoader(Permuted(), batch_size=10))

    def test_streams_in_a_fixed_order_are_read_once(self) -> None:
        cycle = Wraps(Counting())
        cycle.dataset = cycle
        for stream in (Flagged(shuffle=False), cycle):
            assert len(read(DataLoader(stream, batch_size=2))) == 3
        once = (batch for batch in [torch.zeros(2), torch.ones(2)])
        assert len(read(once)) == 2

    @pytest.mark.parametrize("stream", [Permuted(), ShuffleBuffer(Counting())])
    def test_with_ids_any_order_will_do(self, stream: Any) -> None:
        batches = read(DataLoader(stream, batch_size=5, collate_fn=with_ids))
        assert all(ids.tolist() == batch.tolist() for ids, batch in batches)

    @pytest.mark.slow
    def test_with_ids_worker_processes_are_welcome(self) -> None:
        ((ids, _),) = read(DataLoader(Counting(), batch_size=5, collate_fn=with_ids, num_workers=1))
        assert ids.tolist() == list(range(5))


class TestRandomItems:
    @pytest.mark.parametrize(
        "make",
        [
            lambda i: torch.rand(3),
            lambda i: (np.random.rand(3), i),
            lambda i: {"x": [torch.rand(())]},
            lambda i: str(torch.rand(())),
            lambda i: torch.rand(int(torch.randint(1, 99, ()))),
            lambda i: [0] * int(torch.randint(1, 99, ())),
            lambda i: {str(torch.rand(())): 1},
        ],
    )
    def test_an_item_that_differs_between_two_reads_draws_a_warning(self, make: Any) -> None:
        torch.manual_seed(0)
        with pytest.warns(UserWarning, match=r"\d of 6 items of the pool differ between two reads"):
            read(DataLoader(Items(make), collate_fn=same))

    def test_augmentation_that_leaves_most_items_as_they_are_is_seen(self) -> None:
        def flipped_sometimes(position: int) -> torch.Tensor:
            item = torch.arange(4.0) + position
            return item.flip(0) if torch.rand(()) < 0.35 else item

        for seed in range(20):
            torch.manual_seed(seed)
            with pytest.warns(UserWarning, match="of 12 items of the pool differ"):
                read(DataLoader(Items(flipped_sometimes, n=1000), collate_fn=same))

    def test_items_of_the_whole_data_set_are_compared(self) -> None:
        def random_at_the_end(position: int) -> torch.Tensor:
            return torch.rand(()) if position == 99 else torch.zeros(())

        with pytest.warns(UserWarning, match="1 of 12 items .* item 99 for one"):
            read(DataLoader(Items(random_at_the_end, n=100)))

    @pytest.mark.parametrize(
        "make",
        [
            lambda i: (torch.tensor([float("nan"), 1.0]), np.array([np.nan]), float("nan")),
            lambda i: {"x": torch.zeros(2, dtype=torch.bool), "name": "a", "none": None},
            lambda i: object(),
            lambda i: TensorDataset(torch.zeros(2)),
            lambda i: np.array(["a", "b"]),
            lambda i: Incomparable(),
        ],
    )
    def test_an_item_that_stays_the_same_draws_none(self, make: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            read(DataLoader(Items(make), collate_fn=same))

    def test_a_data_set_with_keys_of_its_own_is_left_alone(self) -> None:
        data = {"a": torch.zeros(2), "b": torch.ones(2)}
        batches = read(
            DataLoader(data, sampler=["a", "b"], collate_fn=lambda xs: PoolBatch(("q",), xs[0]))
        )
        assert len(batches) == 2


def test_the_size_of_a_pool_is_that_of_its_data_set() -> None:
    assert pool_size(DataLoader(range(6), batch_size=4)) == 6
    assert pool_size(DataLoader(Counting())) is None
    assert pool_size([1, 2]) is None


def test_the_generators_of_loader_and_sampler_are_found() -> None:
    one, other = torch.Generator(), torch.Generator()
    sampler = WeightedRandomSampler([1.0] * 6, 6, generator=other)
    found = loader_generators(DataLoader(range(6), sampler=sampler, generator=one))
    assert found == [one, other]
    assert loader_generators([]) == []
