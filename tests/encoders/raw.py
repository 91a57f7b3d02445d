"""Raw samples and small encoders for tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Raw:
    """Samples that are held in a list."""

    held: list[Any]
    kind: str = "tensors"
    names: list[str] | None = None

    @property
    def keys(self) -> Sequence[str]:
        return self.names or [str(n) for n in range(len(self.held))]

    def read(self, positions: Sequence[int]) -> list[Any]:
        return [self.held[position] for position in positions]


def numbered(n: int, start: int = 0) -> Raw:
    """Samples whose first entry is their number."""
    rows = [torch.tensor([float(number), 1.0, 2.0]) for number in range(start, start + n)]
    return Raw(rows, names=[str(number) for number in range(start, start + n)])


class Counting(nn.Module):
    """Doubles its inputs and remembers the numbers of the rows that it got."""

    def __init__(self, log: Path | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), 2.0))
        self.seen: list[int] = []
        self._log = log

    def forward(self, inputs: Tensor) -> Tensor:
        numbers = inputs[:, 0].int().tolist()
        self.seen += numbers
        if self._log is not None:
            with self._log.open("a") as file:
                file.write("".join(f"{number}\n" for number in numbers))
        return inputs * self.weight


def tiny_bert(folder: Path, *, pad_side: str = "right", seed: int = 0) -> Path:
    """A random BERT with a tokenizer of a few words, saved as Hugging Face saves them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "my", "card", "key", "is", "lost", "where"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=16
    )
    fast.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder
