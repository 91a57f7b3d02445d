"""Which samples of a folder are for validation, and what a folder tells the loop."""

from pathlib import Path
from typing import Any

import pytest

from lightning_badge.datamodule.folder import FolderDataModule, folder
from lightning_badge.exceptions import LabelError

COUNT = 400


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    path = tmp_path / "messages.csv"
    rows = [f"message {n} about my lost {['card', 'key'][n % 2]}" for n in range(COUNT)]
    path.write_text("\n".join(["text", *rows]))
    return path


def read(messages: Path, **arguments: Any) -> FolderDataModule:
    return folder(str(messages), **{"classes": ["card", "key"], **arguments})


def test_a_random_tenth_is_reserved_if_nobody_knows_the_labels(messages: Path) -> None:
    datamodule = read(messages, validation="auto")
    assert len(datamodule.validation_ids) == 40
    assert len(datamodule.pool_ids) == COUNT - 40
    again = read(messages, validation="auto", split_seed=0).validation_ids.tolist()
    other = read(messages, validation="auto", split_seed=1).validation_ids.tolist()
    assert datamodule.validation_ids.tolist() == again != other
    assert again != sorted(again)  # asked for in random order
    assert not read(messages).plans_validation
    assert not read(messages, validation="none").plans_validation


def test_known_labels_of_reserved_samples_validate_at_once(messages: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    lines = [f"{n},{['card', 'key'][n % 2]}" for n in range(200)]
    labels.write_text("\n".join(["sample_id,label", *lines]))
    datamodule = read(messages, validation="auto", labels=str(labels))
    reserved = set(datamodule.validation_ids.tolist())
    known = len([sample_id for sample_id in reserved if sample_id < 200])
    assert len(datamodule.labeled_ids) == 200 - known
    assert sum(len(targets) for _, targets in datamodule.val_dataloader()) == known > 0


def test_a_file_names_the_samples_for_validation(messages: Path, tmp_path: Path) -> None:
    file = tmp_path / "validation.csv"
    file.write_text("sample_id,label\n3,key\n8,card\n")
    datamodule = read(messages, validation=str(file))
    assert not {3, 8} & set(datamodule.sample_ids.tolist())
    (batch,) = list(datamodule.val_dataloader())
    assert batch[1].tolist() == [1, 0]


def test_another_word_is_an_error(messages: Path) -> None:
    datamodule = read(messages)
    with pytest.raises(LabelError, match="validation: expected auto, none or labels, got 'often'"):
        FolderDataModule(datamodule.samples, labels={}, classes=["a", "b"], validation="often")


def test_the_source_is_the_file_and_not_its_contents(messages: Path, tmp_path: Path) -> None:
    source = read(messages).source
    with messages.open("a") as file:
        file.write("\nanother message about my card")
    assert read(messages).source == source
    assert read(messages.rename(tmp_path / "other.csv")).source != source


def test_samples_show_their_text_or_their_row(messages: Path, tmp_path: Path) -> None:
    texts = read(messages).samples
    assert (texts.shown_as, texts.shown[3]) == ("text", "message 3 about my lost key")
    table = tmp_path / "table.csv"
    table.write_text("age,income\n" + "\n".join(f"{n},{n * 7 % 5}" for n in range(40)))
    rows = folder(str(table), classes=["a", "b"]).samples
    assert (rows.shown_as, rows.shown[2]) == ("row", "age=2, income=4")


def test_the_pool_is_embedded_without_a_model(messages: Path) -> None:
    datamodule = read(messages, validation="auto")
    datamodule.label({int(datamodule.pool_ids[0]): 1})
    assert datamodule.cold_start().sample_ids.tolist() == datamodule.pool_ids.tolist()
