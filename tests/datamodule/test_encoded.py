from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoders.raw import Counting

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.encoded import FeatureDataset, raw_samples, use_features, use_raw
from lightning_badge.datamodule.folder import folder
from lightning_badge.encoders import FeatureStore, embed_new, load_encoder
from lightning_badge.exceptions import EncoderError


def rows(n: int, start: int = 0) -> list[tuple[torch.Tensor, int]]:
    return [(torch.tensor([float(start + i), 1.0, 2.0]), i % 2) for i in range(n)]


def embedded(datamodule: ActiveLearningDataModule, path: Path, module: Any = None) -> Any:
    samples = raw_samples(datamodule, as_tensors=True)
    with FeatureStore(path) as store:
        embed_new(store, load_encoder(module or Counting(), samples, batch_size=4), samples)
        use_features(datamodule, *store.read(samples.keys))
    return samples


def test_all_parts_of_any_data_module_yield_features(tmp_path: Path) -> None:
    ids = [f"s{n}" for n in range(10)]
    datamodule = ActiveLearningDataModule(
        rows(10), rows(4, 100), rows(3, 200), initial_labeled=["s1", "s2"], sample_ids=ids
    )
    embedded(datamodule, tmp_path)
    features, targets = next(iter(datamodule.val_dataloader()))
    assert features[:, 0].tolist() == [200.0, 202.0, 204.0, 206.0]
    assert targets.tolist() == [0, 1, 0, 1]
    assert next(iter(datamodule.test_dataloader()))[0][:, 0].tolist() == [400.0, 402.0, 404.0]
    batch = next(iter(datamodule.pool_dataloader()))
    assert list(batch.sample_ids) == [ids[0], *ids[3:]]
    assert batch.batch[0][:, 0].tolist() == [0.0, *(2.0 * n for n in range(3, 10))]
    datamodule.label({"s5": 0})  # in place of 1
    features, targets = next(iter(datamodule.train_dataloader()))
    assert sorted(zip(features[:, 0].tolist(), targets.tolist(), strict=True)) == [
        *((2.0, 1), (4.0, 0), (10.0, 0))
    ]
    assert datamodule.labels_dict() == {"s1": 1, "s2": 0, "s5": 0}


def test_the_pool_can_be_ordered_by_its_features_without_labels(tmp_path: Path) -> None:
    datamodule = ActiveLearningDataModule(rows(6), initial_labeled=[])
    assert not hasattr(datamodule, "cold_start")
    embedded(datamodule, tmp_path)
    datamodule.discard([2])
    embedding = datamodule.cold_start()
    assert embedding.sample_ids.tolist() == [0, 1, 3, 4, 5]
    assert embedding.penultimate[:, 0].tolist() == [0.0, 2.0, 6.0, 8.0, 10.0]


def test_a_folder_keeps_its_split_its_labels_and_its_validation_samples(tmp_path: Path) -> None:
    lines = [f"{n},{n * n},{n % 3},{['cat', 'dog'][n % 2]}" for n in range(100)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,c,label", *lines]))
    plain, encoded = (folder(str(tmp_path / "table.csv"), initial_labeled=8) for _ in range(2))
    embedded(encoded, tmp_path / "features", torch.nn.Identity())
    for loader in ("pool_dataloader", "labeled_dataloader"):
        for before, after in zip(getattr(plain, loader)(), getattr(encoded, loader)(), strict=True):
            assert list(before.sample_ids) == list(after.sample_ids)
            for part in (0, 1):
                torch.testing.assert_close(before.batch[part], after.batch[part])
    for before, after in zip(plain.val_dataloader(), encoded.val_dataloader(), strict=True):
        torch.testing.assert_close(before[0], after[0])
        torch.testing.assert_close(before[1], after[1])
    assert encoded.held_back_labels() == plain.held_back_labels()


def test_several_classes_a_sample(tmp_path: Path) -> None:
    lines = [f"{n},{n % 7},{['cat', 'cat|dog', 'none'][n % 3]}" for n in range(60)]
    (tmp_path / "table.csv").write_text("\n".join(["a,b,label", *lines]))
    datamodule = folder(str(tmp_path / "table.csv"), initial_labeled=9, multilabel=True)
    embedded(datamodule, tmp_path / "features", torch.nn.Identity())
    features, targets = next(iter(datamodule.train_dataloader()))
    assert features.shape == (9, 2)
    assert targets.shape == (9, 2)
    assert targets.dtype == torch.float32


def test_texts_of_a_folder_are_raw_texts(tmp_path: Path) -> None:
    lines = [f"where is my lost card number {n},{n % 2}" for n in range(30)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *lines]))
    samples = raw_samples(folder(str(tmp_path / "texts.csv"), initial_labeled=4))
    assert samples.kind == "texts"
    assert samples.read([3, 1]) == [f"where is my lost card number {n}" for n in (3, 1)]
    assert len(samples.keys) == 30


def test_items_that_are_dicts(tmp_path: Path) -> None:
    data = [{"text": f"text {n}", "label": n % 2} for n in range(6)]
    datamodule = ActiveLearningDataModule(data, initial_labeled=[0, 1], target_key="label")
    samples = raw_samples(datamodule)
    assert (samples.kind, samples.read([4])) == ("texts", ["text 4"])
    with FeatureStore(tmp_path) as store:
        np.save(tmp_path / "rows.npy", np.eye(6, dtype=np.float32))
        path = str(tmp_path / "rows.npy")
        embed_new(store, load_encoder(path, samples, sample_ids=range(6)), samples)
        use_features(datamodule, *store.read(samples.keys))
    features, targets = next(iter(datamodule.train_dataloader()))
    assert features.argmax(1).tolist() == targets.tolist()


def test_items_without_an_input_are_named() -> None:
    data = [{"tokens": [1], "label": 0}] * 3
    datamodule = ActiveLearningDataModule(data, initial_labeled=[0], target_key="label")
    with pytest.raises(EncoderError, match="got keys 'tokens', 'label'"):
        raw_samples(datamodule).read([0])


def test_raw_samples_come_back_to_train_the_encoder(tmp_path: Path) -> None:
    datamodule = ActiveLearningDataModule(rows(10), rows(4, 100), initial_labeled=[1, 2])
    samples = embedded(datamodule, tmp_path)
    use_raw(datamodule, samples, torch.stack)
    datamodule.label({5: 0})
    inputs, targets = next(iter(datamodule.train_dataloader()))
    assert sorted(zip(inputs[:, 0].tolist(), targets.tolist(), strict=True)) == [
        *((1.0, 1), (2.0, 0), (5.0, 0))
    ]
    assert next(iter(datamodule.val_dataloader()))[0][:, 0].tolist() == [100.0, 101.0, 102.0, 103.0]


def test_features_are_read_from_a_memory_map(tmp_path: Path) -> None:
    datamodule = ActiveLearningDataModule(rows(10), initial_labeled=[1, 2])
    embedded(datamodule, tmp_path)
    train = datamodule.data_sets()["train"]
    assert isinstance(train, FeatureDataset)
    assert isinstance(train.array, np.memmap)
