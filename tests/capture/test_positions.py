from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, Subset, random_split

from lightning_badge.capture.positions import positions_of_loader


def test_of_a_random_split_they_are_positions_in_the_whole() -> None:
    part, _ = random_split(range(50), [8, 42], torch.Generator().manual_seed(0))
    positions = positions_of_loader(DataLoader(part))
    assert positions.ids.tolist() == list(part)
    assert (
        positions.meaning == "positions in the range of which the pool is a Subset (Subset.indices)"
    )


@pytest.mark.parametrize("make", [list, tuple, np.array, torch.tensor])
def test_subsets_of_subsets_are_composed(make: Any) -> None:
    inner = Subset(Subset(range(100), make([5, 10, -1, 20])), make([3, 2, 0]))
    outer = Subset(inner, make([1, -1]))
    assert positions_of_loader(DataLoader(outer)).ids.tolist() == list(outer) == [99, 5]


def test_a_subset_of_a_data_set_with_keys_of_its_own_keeps_positions() -> None:
    assert positions_of_loader(DataLoader(Subset({"a": 1, "b": 2}, ["b"]))).ids is None


def test_of_other_data_sets_they_are_positions_as_they_come() -> None:
    class Stream(IterableDataset[int]):
        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    assert positions_of_loader(DataLoader(range(3))) == (None, "positions in the pool's range")
    for loader in (DataLoader(Stream()), [1, 2]):
        ids, meaning = positions_of_loader(loader)
        assert ids is None
        assert "order in which samples arrive" in meaning
