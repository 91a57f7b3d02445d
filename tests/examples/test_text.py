from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_badge.examples import text as module
from lightning_badge.examples.text import scipy_topics, text
from lightning_badge.exceptions import BadgeError

datasets = pytest.importorskip("datasets")
pytest.importorskip("tokenizers")

TEXTS = ["a cat and a dog", "the dog", "", "one cat " * 20, "no bird", "The CAT!"]
LABELS = ["pet", "pet", "none", "pet", "none", "pet"]

Write = Callable[..., str]


@pytest.fixture(autouse=True)
def _offline_with_a_cache_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a folder of two splits, as Parquet or as CSV."""

    def write_both(kind: str = "parquet", val: int = 6, **columns: list[Any]) -> str:
        rows = datasets.Dataset.from_dict(columns or {"text": TEXTS, "label": LABELS})
        folder = tmp_path / "data"
        folder.mkdir()
        for split, count in {"train": len(rows), "test": val}.items():
            getattr(rows.select(range(count)), f"to_{kind}")(folder / f"{split}.{kind}")
        return str(folder)

    return write_both


def all_labeled(path: str, **arguments: Any) -> dict[str, torch.Tensor]:
    datamodule = text(path, initial_labeled=len(TEXTS), **arguments)
    (batch,) = datamodule.labeled_dataloader()
    return batch.batch


def test_batches_have_the_format_of_transformers(write: Write) -> None:
    batch = all_labeled(write(), length=8)
    assert batch.keys() == {"input_ids", "attention_mask", "labels"}
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (6, 8)
    # Text 3 is longer than 8 tokens, text 2 is empty.
    assert batch["attention_mask"].sum(1)[[3, 2]].tolist() == [8, 0]
    assert torch.equal(batch["input_ids"] == 0, batch["attention_mask"] == 0)
    assert batch["input_ids"][5, :2].tolist() == batch["input_ids"][[1, 0], [0, 1]].tolist()


def test_string_labels_are_numbered_in_alphabetical_order(write: Write) -> None:
    datamodule = text(write(), initial_labeled=1)
    assert datamodule.class_names == ("none", "pet")
    assert list(datamodule.held_back_labels().values()) == [1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_other_column_names_and_file_formats_are_read(write: Write, kind: str) -> None:
    path = write(kind, sentence=[*TEXTS[:2], *TEXTS[3:]], sense=[0, 2, 1, 0, 1], val=3)
    datamodule = text(path, text_column="sentence", label_column="sense", initial_labeled=3)
    assert datamodule.class_names == ("0", "1", "2")
    assert len(datamodule.pool_ids) == 2
    assert sum(len(batch["labels"]) for batch in datamodule.val_dataloader()) == 3


def test_a_given_label_replaces_that_of_the_data_set(write: Write) -> None:
    datamodule = text(write(), initial_labeled=[0])
    datamodule.label([4], labels=[1])
    assert datamodule.labels_dict() == {0: 1, 4: 1}


def test_the_same_texts_give_the_same_tokens(write: Write) -> None:
    # WordPiece fails this test: a resumed run would have another vocabulary.
    first, second = (scipy_topics(initial_labeled=100) for _ in range(2))
    for one, other in zip(first.labeled_dataloader(), second.labeled_dataloader(), strict=True):
        assert torch.equal(one.batch["input_ids"], other.batch["input_ids"])


def test_unknown_texts_are_tokenized_as_unknown(write: Write) -> None:
    tokenizer = module._train_tokenizer(["abc abc abd"] * 9, vocabulary=50, length=4)
    assert set(tokenizer.get_vocab()) >= {"[PAD]", "[UNK]", "a", "abc"}
    assert tokenizer.encode("abc xyz").ids[1:] == [1, 1, 1]


def test_sample_ids_are_the_names_of_the_documented_objects() -> None:
    datamodule = scipy_topics(val_size=100, initial_labeled=30)
    known = datamodule.held_back_labels().items()
    assert all(f".{datamodule.class_names[label]}." in name for name, label in known)
    assert len(set(datamodule.labels_dict().values())) == 9
    assert sum(len(batch["labels"]) for batch in datamodule.val_dataloader()) == 100


class TestErrors:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"text_column": "texts"}, "no column 'texts'; the columns are text, label"),
            ({"label_column": "class"}, "no column 'class'; the columns are text, label"),
            ({"train_split": "tain"}, r"Unknown split \"tain\"."),
        ],
    )
    def test_a_missing_column_or_split_is_an_error(
        self, write: Write, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(BadgeError, match=f"^data .*: {message}"):
            text(write(), **arguments)

    def test_a_row_without_a_text_is_an_error(self, write: Write) -> None:
        message = "column 'text', row 1 of split 'train': expected a text, got None"
        with pytest.raises(BadgeError, match=message):
            text(write(text=["a", None], label=[0, 1], val=1))

    def test_a_class_missing_from_training_is_an_error(self, write: Write) -> None:
        path = write()
        with pytest.raises(BadgeError, match="row 2 of split 'train': expected one of pet, got no"):
            text(path, train_split="train[:2]", val_split="train", initial_labeled=1)
