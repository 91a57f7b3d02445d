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


def test_batches_are_what_transformers_take(write: Write) -> None:
    batch = all_labeled(write(), length=8)
    assert batch.keys() == {"input_ids", "attention_mask", "labels"}
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (6, 8)
    # Longer than 8 tokens, empty, and alike but for capitals and a mark.
    assert batch["attention_mask"].sum(1)[[3, 2]].tolist() == [8, 0]
    assert torch.equal(batch["input_ids"] == 0, batch["attention_mask"] == 0)
    assert batch["input_ids"][5, :2].tolist() == batch["input_ids"][[1, 0], [0, 1]].tolist()


def test_strings_are_classes_in_alphabetical_order(write: Write) -> None:
    datamodule = text(write(), initial_labeled=1)
    assert datamodule.class_names == ("none", "pet")
    assert list(datamodule.held_back_labels().values()) == [1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_columns_of_other_names_and_kinds_of_files_are_read(write: Write, kind: str) -> None:
    path = write(kind, sentence=[*TEXTS[:2], *TEXTS[3:]], sense=[0, 2, 1, 0, 1], val=3)
    datamodule = text(path, text_column="sentence", label_column="sense", initial_labeled=3)
    assert datamodule.class_names == ("0", "1", "2")
    assert len(datamodule.pool_ids) == 2
    assert sum(len(batch["labels"]) for batch in datamodule.val_dataloader()) == 3


def test_a_label_that_is_given_takes_the_place_of_the_data_sets_own(write: Write) -> None:
    datamodule = text(write(), initial_labeled=[0])
    datamodule.label([4], labels=[1])
    assert datamodule.labels_dict() == {0: 1, 4: 1}


def test_the_same_texts_give_the_same_tokens(write: Write) -> None:
    # WordPiece fails this one: a run that goes on would meet another vocabulary.
    first, second = (scipy_topics(initial_labeled=100) for _ in range(2))
    for one, other in zip(first.labeled_dataloader(), second.labeled_dataloader(), strict=True):
        assert torch.equal(one.batch["input_ids"], other.batch["input_ids"])


def test_validation_texts_teach_the_tokenizer_nothing(write: Write) -> None:
    tokenizer = module._train_tokenizer(["abc abc abd"] * 9, vocabulary=50, length=4)
    assert set(tokenizer.get_vocab()) >= {"[PAD]", "[UNK]", "a", "abc"}
    assert tokenizer.encode("abc xyz").ids[1:] == [1, 1, 1]


def test_sentences_are_known_by_what_they_document() -> None:
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
    def test_what_is_not_in_the_data_is_named(
        self, write: Write, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(BadgeError, match=f"^data .*: {message}"):
            text(write(), **arguments)

    def test_a_row_without_a_text_is_named(self, write: Write) -> None:
        message = "column 'text', row 1 of split 'train': expected a text, got None"
        with pytest.raises(BadgeError, match=message):
            text(write(text=["a", None], label=[0, 1], val=1))

    def test_a_class_that_training_does_not_have_is_named(self, write: Write) -> None:
        path = write()
        with pytest.raises(BadgeError, match="row 2 of split 'train': expected one of pet, got no"):
            text(path, train_split="train[:2]", val_split="train", initial_labeled=1)
