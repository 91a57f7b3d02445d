"""Ids that are there twice are found before training, without loading a sample."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import LIGHTNING_WARNINGS, Classifier, blobs, loader, make_trainer
from torch.utils.data import ConcatDataset, DataLoader, Dataset, StackDataset, Subset, TensorDataset

from lightning_badge.callback.badge import BadgeCallback
from lightning_badge.capture.ids_at_hand import ids_at_hand
from lightning_badge.exceptions import CaptureError
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import as_sample_ids

pytestmark = LIGHTNING_WARNINGS
X = blobs(8).tensors[0]
TWICE = [0, 1, 2, 3, 4, 5, 1, 6]
NAMES = [f"s{number}" for number in TWICE]


class OfPairs(Dataset[Any]):
    """Has ids of its own, and counts how many items are loaded."""

    def __init__(self) -> None:
        self.labels, self.files, self.loaded = TWICE, NAMES, 0

    def __len__(self) -> int:
        return len(NAMES)

    def __getitem__(self, position: int) -> tuple[str, Any]:
        self.loaded += 1
        return NAMES[position], X[position]


def as_pool_batch(pairs: list[Any]) -> PoolBatch:
    ids, rows = zip(*pairs, strict=True)
    return PoolBatch(ids, torch.stack(rows))


PAIRS = [{"x": x, "name": name} for x, name in zip(X, NAMES, strict=True)]
POOLS: list[tuple[Any, Any]] = [
    (Subset(blobs(8), TWICE), None),
    (TensorDataset(X, torch.tensor(TWICE)), 1),
    (TensorDataset(X, torch.tensor(TWICE)), -1),
    (Subset(TensorDataset(X, torch.arange(8)), TWICE), 1),
    (ConcatDataset([TensorDataset(X[:4], torch.arange(4))] * 2), 1),
    (StackDataset(X, NAMES), 1),
    (list(zip(X, NAMES, strict=True)), 1),
]


@pytest.mark.parametrize(("data", "key"), POOLS)
def test_the_first_training_step_is_never_reached(tmp_path: Path, data: Any, key: Any) -> None:
    pool = DataLoader(data, batch_size=3)
    callback = BadgeCallback(pool=pool, sample_id_key=key, loss="cross_entropy")
    trainer = make_trainer(tmp_path, callbacks=[callback])
    with pytest.raises(CaptureError, match=r"^sample ids .*: expected distinct ids, but .*1'?\b"):
        trainer.fit(Classifier(), loader(16), loader(16))
    assert trainer.global_step == 0


def test_dicts_and_lists_of_names_in_data_sets_of_ones_own() -> None:
    first = as_sample_ids(NAMES[:3])
    assert ids_at_hand(DataLoader(PAIRS, batch_size=3), first, "name").tolist() == NAMES
    data = OfPairs()
    assert ids_at_hand(DataLoader(data, collate_fn=as_pool_batch), first, None).tolist() == NAMES
    parts = ConcatDataset([Subset(data, [0, 1, 2]), Subset(data, [6])])
    assert ids_at_hand(DataLoader(parts), first, "name").tolist() == ["s0", "s1", "s2", "s1"]
    assert data.loaded == 0


def test_columns_of_hugging_face() -> None:
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"x": X.tolist(), "name": NAMES}).with_format("torch")
    ids = ids_at_hand(DataLoader(data), as_sample_ids(NAMES[:1]), "name")
    assert ids.tolist() == NAMES


def test_what_is_not_certain_is_not_claimed() -> None:
    first = as_sample_ids(["other"])
    columns = TensorDataset(X, torch.tensor(TWICE))
    assert ids_at_hand(DataLoader(columns), first, 1) is None  # the collate function makes others
    assert ids_at_hand(DataLoader(columns, shuffle=True), as_sample_ids([0]), 1) is None
    assert ids_at_hand(DataLoader(blobs(8)), as_sample_ids([0]), "name") is None
    assert ids_at_hand(DataLoader(blobs(8)), None, None) is None
    assert ids_at_hand(DataLoader(OfPairs()), as_sample_ids([0]), 0) is None  # labels begin so
    assert ids_at_hand([X], None, None) is None
