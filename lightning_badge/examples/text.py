"""Texts and their classes, in tokens of a tokenizer that is trained on the spot.

Batches are dicts as Hugging Face's models take them: ``input_ids``, ``attention_mask``, ``labels``.
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

    Sample ids are the rows of the train split. A folder, or what ``datasets`` has in its cache,
    needs no network.

    Args:
        path: A folder of Parquet, CSV or JSON files, or the name of a data set on the Hub.
        name: Which configuration of the data set, where it has several.
        text_column: Column of the texts.
        label_column: Column of the classes: class labels, ints from 0, or strings.
        train_split: Labeled set and pool; a slice such as ``train[:5000]`` works too.
        val_split: Validation data; ``validation`` where None, or ``test`` if there is none.
        vocabulary: Tokens that the tokenizer learns at the most.
        length: Tokens of a text that are kept.
        initial_labeled: A count, drawn stratified, or ids.
        **loading: ``batch_size``, ``eval_batch_size``, ``num_workers`` and ``seed`` of
            `ActiveLearningDataModule`.

    Raises:
        BadgeError: Data that cannot be read, a missing split or column.
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

    Which of nine parts of SciPy is a sentence about? About 2,600 sentences, of which a third are
    about statistics. Sample ids are the names of what the sentences document.

    Args:
        val_size: Sentences held out for validation, stratified; the others are pool.
        vocabulary: Tokens that the tokenizer learns at the most.
        length: Tokens of a sentence that are kept.
        initial_labeled: A count, drawn stratified, or ids.
        split_seed: Of the validation split.
        **loading: ``batch_size``, ``eval_batch_size``, ``num_workers`` and ``seed`` of
            `ActiveLearningDataModule`.

    Raises:
        BadgeError: A ``val_size`` that leaves nothing on one of the sides.
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
    """Texts of one length in tokens, with their classes."""

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
    """Learns byte pairs of lower-case words; no label is needed for that."""
    with examples_extra():
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    # Not WordPiece: its trainer numbers the same tokens differently in every process, and a run
    # that goes on would meet another vocabulary.
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
