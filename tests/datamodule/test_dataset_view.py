import pickle
from collections import OrderedDict, UserDict
from collections.abc import Iterator
from typing import Any, NamedTuple

import forked
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, default_collate

from lightning_badge.datamodule.dataset_view import (
    CollatePoolBatch,
    DatasetView,
    JoinLoneSample,
    WithSampleIds,
    sample_count,
    with_target,
)
from lightning_badge.exceptions import LabelError


class Sample(NamedTuple):
    image: float
    target: int


class Encoded(UserDict[str, Any]):
    """Stands for the dict-like batch encodings of tokenizers."""


@pytest.mark.parametrize(
    ("item", "key", "expected"),
    [
        ((0.5, 1), 1, (0.5, 7)),
        ((0.5, 1, "meta"), -2, (0.5, 7, "meta")),
        ([0.5, 1], 1, [0.5, 7]),
        (Sample(0.5, 1), 1, Sample(0.5, 7)),
        ({"x": 0.5, "y": 1}, "y", {"x": 0.5, "y": 7}),
        (OrderedDict(x=0.5, y=1), "y", OrderedDict(x=0.5, y=7)),
        (Encoded(x=0.5, y=1), "y", Encoded(x=0.5, y=7)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_given_label_replaces_the_target_and_nothing_else(
    item: Any, key: int | str, expected: Any
) -> None:
    before = pickle.dumps(item)
    changed = with_target(item, key, 7)
    assert type(changed) is type(item)
    assert changed == expected
    assert pickle.dumps(item) == before, "the data set's own item was changed"


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (3, 1),
        (3.0, 1),
        (True, 1),
        ("cat", "dog"),
        (np.int64(3), 1),
        (np.float32(3), 0.5),
        (np.array([1, 0, 1]), [0, 1, 1]),
        (torch.tensor(3), 1),
        (torch.tensor(3, dtype=torch.uint8), 1.0),
        (torch.tensor([3.0]), 1),
        (torch.tensor(3.0, dtype=torch.bfloat16), 0.1),
        (torch.tensor([1.0, 0.0]), [0, 1]),
    ],
    ids=repr,
)
def test_given_and_own_targets_collate_in_one_batch(target: Any, label: Any) -> None:
    changed = with_target((0, target), 1, label)[1]
    assert type(changed) is type(target)
    assert getattr(changed, "dtype", None) == getattr(target, "dtype", None)
    own_first, given_first = default_collate([target, changed]), default_collate([changed, target])
    assert getattr(own_first, "dtype", None) == getattr(given_first, "dtype", None)


def test_a_placeholder_of_none_takes_any_label() -> None:
    assert with_target((0, None), 1, "cat") == (0, "cat")


@pytest.mark.parametrize(
    ("target", "label"),
    [
        (3, "cat"),
        (3, 2.7),
        (3, [0, 1]),
        ("cat", 3),
        (torch.tensor(3), 2.7),
        (torch.tensor(3), [0, 1]),
        (torch.tensor([0, 1]), 1),
        (np.int64(3), "3"),
        ({"boxes": []}, 1),
    ],
    ids=repr,
)
def test_a_label_that_the_target_s_type_cannot_hold_is_an_error(target: Any, label: Any) -> None:
    with pytest.raises(LabelError, match=r"cannot take the place of a target"):
        with_target((0, target), 1, label)


@pytest.mark.parametrize(
    ("item", "key", "message"),
    [
        ((0.5,), 1, "a tuple of length 1"),
        ((0.5, 1), "label", "a tuple of length 2"),
        ({"x": 0.5, "label": 1}, 1, "a dict with the keys 'x', 'label'"),
        (torch.zeros(3, 3), 1, "Tensor, not a tuple"),
    ],
)
def test_an_item_without_the_target_is_an_error_that_says_what_there_is(
    item: Any, key: int | str, message: str
) -> None:
    with pytest.raises(LabelError, match=message):
        with_target(item, key, 7)


def test_a_view_reads_whole_batches_from_data_sets_that_can() -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"x": [0, 1, 2, 3], "y": [0, 0, 0, 0]})
    view = DatasetView(data, np.array([1, 3]), {3: 9, 0: 8}, "y")
    assert [view[0], view[1]] == view.__getitems__([0, 1]) == [{"x": 1, "y": 0}, {"x": 3, "y": 9}]


@pytest.mark.slow
def test_pairs_with_ids_become_pool_batches_in_worker_processes() -> None:
    data = [(float(row), row) for row in range(5)]
    view = WithSampleIds(DatasetView(data, np.array([4, 0, 2]), {}, 1), np.array(["e", "a", "c"]))
    loader = DataLoader(
        view,
        batch_size=2,
        num_workers=1,
        collate_fn=CollatePoolBatch(default_collate),
        multiprocessing_context=forked.context(),  # what it is given is pickled
    )
    assert view[1] == ("a", (0.0, 0))
    batches = list(loader)
    assert [batch.sample_ids for batch in batches] == [("e", "a"), ("c",)]
    assert [batch.batch[1].tolist() for batch in batches] == [[4, 0], [2]]


@pytest.mark.parametrize("n", range(1, 14))
@pytest.mark.parametrize("batch_size", [1, 2, 4, 13])
def test_no_batch_holds_a_lone_sample_unless_it_must(n: int, batch_size: int) -> None:
    sampler = JoinLoneSample(RandomSampler(range(n)), batch_size, drop_last=False)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(n))
    if n > 1 and batch_size > 1:
        assert min(map(len, batches)) > 1
    assert max(map(len, batches)) <= batch_size + 1


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(3))

    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("data", [Stream(), {"train": [1]}, DataLoader([1, 2]), iter([1, 2])])
def test_only_map_style_data_sets_have_a_pool(data: Any) -> None:
    with pytest.raises(LabelError, match=f"^val: expected a map-style.*{type(data).__name__}$"):
        sample_count(data, "val")


def test_an_empty_data_set_is_an_error() -> None:
    with pytest.raises(LabelError, match=r"^train: expected samples, got an empty list$"):
        sample_count([], "train")
