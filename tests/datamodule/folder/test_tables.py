from pathlib import Path

import pytest
import torch

from lightning_badge.datamodule.folder import folder
from lightning_badge.datamodule.folder.rows import read_rows
from lightning_badge.datamodule.folder.tables import table_of
from lightning_badge.exceptions import BadgeError

LINES = [
    "size;color;note;same;label",
    "1;red;a;5;yes",
    "3;blue;b;5;no",
    ";red;c;5;yes",
    "5;red;d;5;",
]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("\n".join(LINES))
    return path


def test_columns_are_standardised_or_one_hot(table: Path) -> None:
    samples = table_of(table, read_rows(table, {}))
    size, blue, red = torch.as_tensor(samples.inputs[[0, 1, 2, 3]])[:, :3].T
    assert size.tolist() == pytest.approx([-(1.5**0.5), 0, 0, 1.5**0.5])
    assert blue.tolist() == [0, 1, 0, 0]
    assert red.tolist() == [1, 0, 1, 1]
    assert "columns 'same' are not used" in samples.notes[-1]
    assert samples.shown_as == "row"
    assert samples.shown[1] == "size=3, color=blue, note=b, same=5"
    assert samples.shown[2] == "color=red, note=c, same=5"


def test_texts_of_many_values_are_not_used(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x,name\n" + "\n".join(f"{n},n{n}" for n in range(21)))
    datamodule = folder(str(path), classes=["a", "b"])
    assert datamodule.samples.kind == "tables"
    assert datamodule.samples.inputs[[0]].shape == (1, 1)


@pytest.mark.parametrize("huge", ["1e300", "1e-300"])
def test_numbers_of_any_size_are_standardised(tmp_path: Path, huge: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"x,y\n{huge},1\n-{huge},2\ninf,3\n")
    inputs = table_of(path, read_rows(path, {})).inputs[[0, 1, 2]]
    assert inputs[:, 0].tolist() == [1, -1, 0]


def test_known_labels_are_the_labeled_set(table: Path) -> None:
    datamodule = folder(str(table))
    assert datamodule.samples.kind == "tables"
    assert datamodule.labels_dict() == {0: 1, 1: 0, 2: 1}
    assert datamodule.pool_ids.tolist() == [3]


def test_a_table_without_usable_columns_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("x\n1\n1\n")
    with pytest.raises(BadgeError, match="expected numeric columns"):
        folder(str(path), classes=["a", "b"])
