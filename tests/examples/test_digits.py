import numpy as np
import pytest
import torch

from lightning_badge.exceptions import LabelError

pytest.importorskip("sklearn")
from lightning_badge.examples.digits import digits


def test_every_digit_is_included_once_with_its_class_name() -> None:
    datamodule = digits(initial_labeled=100, val_size=360)
    val_images, val_targets = map(torch.cat, zip(*datamodule.val_dataloader(), strict=True))
    assert val_images.shape == (360, 1, 8, 8)
    assert val_images.dtype == torch.float32
    assert (val_images.min(), val_images.max()) == (0, 1)
    assert sorted(val_targets.bincount().tolist()) == [35] * 2 + [36] * 6 + [37] * 2
    assert len(datamodule.labeled_ids) == 100
    assert len(datamodule.labeled_ids) + len(datamodule.pool_ids) + len(val_images) == 1797
    assert datamodule.class_names == tuple("0123456789")


def test_held_back_labels_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    target = load_digits().target
    held_back = digits().held_back_labels()
    assert len(held_back) == 1437
    assert all(target[sample_id] == label for sample_id, label in held_back.items())


def test_the_seed_changes_the_initial_labels_but_not_the_validation_split() -> None:
    first, second = digits(seed=1), digits(seed=2)
    assert first.held_back_labels() == second.held_back_labels()
    assert first.labeled_ids.tolist() != second.labeled_ids.tolist()
    labels = [first.held_back_labels()[sample_id] for sample_id in first.labeled_ids.tolist()]
    assert np.bincount(labels).tolist() == [2] * 10


def test_another_split_seed_validates_on_other_images() -> None:
    first, second = digits(split_seed=0), digits(split_seed=1)
    assert first.held_back_labels().keys() != second.held_back_labels().keys()


def test_ids_of_the_validation_split_cannot_be_labeled() -> None:
    datamodule = digits()
    held_out = sorted(set(range(1797)) - set(datamodule.held_back_labels()))
    with pytest.raises(LabelError, match="ids of the training data"):
        datamodule.label(held_out[:1])
