import pytest
import torch

from lightning_badge.exceptions import BadgeError

pytest.importorskip("sklearn")
from lightning_badge.examples.tabular import TABLES, tabular


@pytest.mark.parametrize(
    ("name", "rows", "columns"), [("breast_cancer", 569, 30), ("wine", 178, 13)]
)
def test_every_row_is_included_once_with_scikit_learns_label(
    name: str, rows: int, columns: int
) -> None:
    from sklearn import datasets

    table = getattr(datasets, f"load_{name}")()
    datamodule = tabular(name, val_size=50)
    (held_out,) = datamodule.val_dataloader()
    assert held_out[0].shape == (50, columns)
    held_back = datamodule.held_back_labels()
    assert len(held_back) + 50 == rows
    assert all(table.target[sample_id] == label for sample_id, label in held_back.items())
    assert datamodule.class_names == tuple(table.target_names.tolist())


def test_columns_are_standardized_by_the_training_rows_alone() -> None:
    datamodule = tabular("wine", val_size=50, initial_labeled=128)
    (batch,) = datamodule.labeled_dataloader()
    rows, _ = batch.batch
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.mean(0), torch.zeros(13), atol=1e-5, rtol=0)
    torch.testing.assert_close(rows.std(0, correction=0), torch.ones(13), atol=1e-5, rtol=0)
    (held_out,) = datamodule.val_dataloader()
    assert held_out[0].mean(0).abs().max() > 0.01


def test_another_seed_does_not_change_the_validation_rows() -> None:
    first, second, third = tabular(seed=1), tabular(seed=2), tabular(split_seed=1)
    assert first.held_back_labels() == second.held_back_labels()
    assert first.labeled_ids.tolist() != second.labeled_ids.tolist()
    assert first.held_back_labels().keys() != third.held_back_labels().keys()


@pytest.mark.parametrize("name", TABLES)
def test_each_table_gives_every_class_a_first_label(name: str) -> None:
    datamodule = tabular(name, val_size=30, initial_labeled=3)
    labels = [datamodule.held_back_labels()[key] for key in datamodule.labeled_ids.tolist()]
    assert set(labels) == set(range(len(datamodule.class_names)))


def test_an_unknown_table_is_an_error() -> None:
    message = "^data.name: expected one of breast_cancer, iris, wine, got 'digits'$"
    with pytest.raises(BadgeError, match=message):
        tabular("digits")


@pytest.mark.parametrize("val_size", [0, -3, 150, 400])
def test_an_empty_training_or_validation_set_is_an_error(val_size: int) -> None:
    message = f"^val_size: expected 1 to 149 for 150 rows, got {val_size}$"
    with pytest.raises(BadgeError, match=message):
        tabular("iris", val_size=val_size)
