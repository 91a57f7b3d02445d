"""Text classification data, tokenized by a tokenizer that is trained on the training texts.

Batches are dicts in the format of Hugging Face models: ``input_ids``, ``attention_mask``,
``labels``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.examples.extra import examples_extra
from lightning_badge.examples.held_out import draw_held_out
from lightning_badge.examples.scipy_sentences import TOPICS, scipy_sentences
from lightning_badge.examples.splits import check_column, read_classes, read_splits, reading
from lightning_badge.exceptions import BadgeError
from lightning_badge.sample_ids import SampleId

_SPECIAL = ("[PAD]", "[UNK]")


def text(
    path: str,
    *,
    name: str | None = None,
    text_column: str = "text",
    label_column: str = "label",
    train_split: str = "train",
    val_split: str | None = None,
    vocabulary: int = 2000,
    length: int = 24,
    initial_labeled: int | Iterable[SampleId] = 20,
    **loading: Any,
) -> ActiveLearningDataModule:
    """Builds labeled set, pool and validation data from a data set of texts and classes.

    Sample ids are row numbers of the train split. A folder or a data set in the cache of
    ``datasets`` needs no network.

    Args:
        path: A folder of Parquet, CSV or JSON files, or the name of a data set on the Hub.
        name: The configuration of the data set, if it has several.
        text_column: Column of the texts.
        label_column: Column of the classes: class labels, ints from 0, or strings.
        train_split: Split for labeled set and pool; a slice such as ``train[:5000]`` works too.
        val_split: Split for validation; None uses ``validation``, or ``test`` if that is missing.
        vocabulary: Maximum number of tokens that the tokenizer learns.
        length: Number of tokens that texts are truncated or padded to.
        initial_labeled: Number of initial labels, drawn stratified, or their sample ids.
        **loading: ``batch_size``, ``eval_batch_size``, ``num_workers`` and ``seed`` of
            `ActiveLearningDataModule`.

    Raises:
        BadgeError: The data cannot be read, or a split or column is missing.
    """
    with reading(path):
        splits = read_splits(path, name, train_split, val_split)
        train_texts, val_texts = (_texts(rows, text_column) for rows in splits)
        train, val, class_names = read_classes(*splits, label_column)
    tokenizer = _train_tokenizer(train_texts, vocabulary, length)
    return ActiveLearningDataModule(
        _tokenized(tokenizer, train_texts, train),
        _tokenized(tokenizer, val_texts, val),
        initial_labeled=initial_labeled,
        labels=train,
        class_names=class_names,
        target_key="labels",
        **loading,
    )


def scipy_topics(
    *,
    val_size: int = 400,
    vocabulary: int = 2000,
    length: int = 24,
    initial_labeled: int | Iterable[SampleId] = 20,
    split_seed: int = 0,
    **loading: Any,
) -> ActiveLearningDataModule:
    """Builds labeled set, pool and validation data from the sentences of SciPy's documentation.

    The class of a sentence is the subpackage of SciPy that it documents, one of nine. There are
    about 2,600 sentences; a third are about statistics. Sample ids are the dotted names of the
    documented functions and classes.

    Args:
        val_size: Number of validation sentences, drawn stratified; all others are labeled set or
            pool.
        vocabulary: Maximum number of tokens that the tokenizer learns.
        length: Number of tokens that sentences are truncated or padded to.
        initial_labeled: Number of initial labels, drawn stratified, or their sample ids.
        split_seed: Seeds the validation split.
        **loading: ``batch_size``, ``eval_batch_size``, ``num_workers`` and ``seed`` of
            `ActiveLearningDataModule`.

    Raises:
        BadgeError: ``val_size`` leaves no training or no validation sentences.
    """
    sample_ids, texts, topics = zip(*scipy_sentences(), strict=True)
    is_val = draw_held_out(np.array(topics), val_size, split_seed)
    val, train = np.flatnonzero(is_val).tolist(), np.flatnonzero(~is_val).tolist()
    tokenizer = _train_tokenizer([texts[row] for row in train], vocabulary, length)
    return ActiveLearningDataModule(
        *(
            _tokenized(tokenizer, [texts[row] for row in rows], [topics[row] for row in rows])
            for rows in (train, val)
        ),
        initial_labeled=initial_labeled,
        labels=[topics[row] for row in train],
        sample_ids=[sample_ids[row] for row in train],
        class_names=TOPICS,
        target_key="labels",
        **loading,
    )


@dataclass(frozen=True, eq=False)
class _Tokenized(Dataset[dict[str, Any]]):
    """Texts as token ids of equal length, with their classes."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: list[int]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {
            "input_ids": self.input_ids[row],
            "attention_mask": self.attention_mask[row],
            "labels": self.labels[row],
        }


def _train_tokenizer(texts: Sequence[str], vocabulary: int, length: int) -> Any:
    """Trains a byte-pair encoding on lower-case words; needs no labels."""
    with examples_extra():
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    # Not WordPiece: its trainer numbers the same tokens differently in every process, so a resumed
    # run would have another vocabulary.
    tokenizer = Tokenizer(models.BPE(unk_token=_SPECIAL[1]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=list(_SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length, pad_id=0, pad_token=_SPECIAL[0])
    return tokenizer


def _tokenized(tokenizer: Any, texts: Sequence[str], labels: Sequence[int]) -> _Tokenized:
    encoded = tokenizer.encode_batch(texts)
    return _Tokenized(
        torch.tensor([text.ids for text in encoded]),
        torch.tensor([text.attention_mask for text in encoded]),
        list(labels),
    )


def _texts(rows: Any, column: str) -> list[str]:
    check_column(rows, column)
    values = list(rows[column])
    for row, value in enumerate(values):
        if not isinstance(value, str):
            raise BadgeError(
                f"column {column!r}, row {row} of split {str(rows.split)!r}: expected a text, got "
                f"{value!s:.40} ({rows.features[column]})"
            )
    return values
