"""Which samples of a pool are images, and which image belongs to which sample."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, SequentialSampler

from lightning_badge.callback.pictures import draw_ordering, pool_images
from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.ordering import Ordering

N = 12


def image(position: int, channels: int = 1) -> Tensor:
    return torch.full((channels, 4, 5), position / N)


def levels(images: Tensor | None) -> list[int]:
    assert images is not None
    return (images[:, 0, 0, 0] * N).round().int().tolist()


@pytest.mark.parametrize(
    "sample",
    [
        lambda n: image(n),
        lambda n: (image(n), n % 2),
        lambda n: [image(n), image(0)],
        lambda n: {"id": n, "mask": image(n) > 0, "pixel_values": image(n), "labels": n % 2},
    ],
    ids=["alone", "pair", "list", "dict"],
)
def test_images_are_found_wherever_a_sample_has_them(sample: Any) -> None:
    loader = DataLoader([sample(n) for n in range(N)], batch_size=4)
    assert levels(pool_images(loader, [7, 0, 11])) == [7, 0, 11]


def test_images_are_found_in_the_batches_that_carry_ids() -> None:
    data = [(image(n), n % 2) for n in range(N)]
    datamodule = ActiveLearningDataModule(data, initial_labeled=[0, 3, 4])
    loader = datamodule.pool_dataloader()
    assert levels(pool_images(loader, [0, 1, 4])) == datamodule.pool_ids[[0, 1, 4]].tolist()


def test_a_collate_fn_of_the_users_own_makes_the_batch() -> None:
    def upside_down(positions: list[int]) -> Tensor:
        return torch.stack([1 - image(n) for n in positions])

    loader = DataLoader(range(N), batch_size=4, collate_fn=upside_down)
    assert levels(pool_images(loader, [2, 9])) == [10, 3]


@pytest.mark.parametrize(
    "sample",
    [
        torch.ones(7),
        torch.ones(2, 4, 5),
        torch.ones(1, 0, 5),
        torch.ones(1, 4, 5, dtype=torch.int64),
        torch.full((1, 4, 5), torch.nan),
        (3, torch.ones(1, 4, 5)),
        {"input_ids": torch.ones(7, dtype=torch.int64), "text": "a cat"},
        "a cat",
    ],
    ids=["table", "channels", "empty", "classes", "nan", "target", "text", "string"],
)
def test_everything_else_is_no_image(sample: Any) -> None:
    assert pool_images(DataLoader([sample] * N), [1, 2]) is None


class Keyed:
    """A data set by names, which its sampler knows."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, name: str) -> Tensor:
        return {"a": image(0)}[name]


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        return iter([image(0)])


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader([image(n) for n in range(N)], shuffle=True),
        DataLoader([image(n) for n in range(N)], sampler=list(range(N))[::-1]),
        DataLoader(
            [image(n) for n in range(N)],
            batch_sampler=type("Own", (BatchSampler,), {})(SequentialSampler(range(N)), 2, False),
        ),
        DataLoader(Keyed()),
        DataLoader(Stream()),
        [torch.stack([image(0)])],
    ],
    ids=["shuffled", "sampler", "batch sampler", "keyed", "stream", "batches"],
)
def test_samples_that_their_positions_do_not_tell_are_not_read(loader: Any) -> None:
    assert pool_images(loader, [1, 2]) is None


def test_transparency_is_left_away_and_bytes_stay_bytes() -> None:
    data = [torch.full((4, 2, 2), n, dtype=torch.uint8) for n in range(N)]
    images = pool_images(DataLoader(data), [5])
    assert images is not None
    assert (images.shape, images.dtype) == ((1, 3, 2, 2), torch.uint8)


def test_a_normalization_is_undone_by_one_scale() -> None:
    data = [torch.full((1, 2, 2), n - 4.0) for n in range(N)]
    images = pool_images(DataLoader(data), [0, 2, 8])
    assert images is not None
    assert images[:, 0, 0, 0].tolist() == [0.0, 0.25, 1.0]
    flat = pool_images(DataLoader(data), [8])
    assert flat is not None
    assert flat.unique().tolist() == [0.0]


def test_pictures_are_those_of_what_there_is() -> None:
    pytest.importorskip("matplotlib")
    ids = np.array([f"s{n}" for n in range(N)])
    images = DataLoader([image(n) for n in range(N)])
    vectors = DataLoader([torch.ones(3)] * N)
    covered = Ordering(ids[::-1], coverage=np.linspace(0, 1, N, dtype=np.float32))

    def drawn(ordering: Ordering, loader: Any) -> list[str]:
        return [name for name, _ in draw_ordering(ordering, loader, ids)]

    assert drawn(covered, images) == ["first_picks", "coverage"]
    assert drawn(covered, vectors) == ["coverage"]
    assert drawn(Ordering(ids), images) == ["first_picks"]
    assert drawn(Ordering(ids), vectors) == []
    with pytest.raises(LabelError, match="ids of the pool, got 'other'"):
        drawn(Ordering(["s1", "other"]), images)
