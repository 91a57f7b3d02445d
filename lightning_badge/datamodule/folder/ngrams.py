"""Texts as the hashed word and character n-grams that they contain."""

import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

PADDING = 0
_WORD = re.compile(r"\w+|[^\w\s]")
_CHARACTERS = (3, 4, 5)


def hashed_ngrams(texts: Sequence[str], *, buckets: int = 2**14, most: int = 512) -> Tensor:
    """Returns the buckets of the n-grams of each text.

    Words and pairs of words come first, then groups of 3 to 5 characters within a word, so that
    a long text that has more than ``most`` n-grams keeps its first words.

    Args:
        texts: Texts, ``[n]``.
        buckets: Number of buckets; bucket 0 is padding.
        most: Maximum number of n-grams of a text.

    Returns:
        Different buckets of each text, int32 ``[n, l]``, padded at the end by `PADDING`, where l
        is the largest number of n-grams, at most ``most`` and at least 1.

    Example:
        >>> hashed_ngrams(["a b", "a"], buckets=100).shape
        torch.Size([2, 5])
    """
    rows = [_buckets(text, buckets, most) for text in texts]
    length = max([1, *map(len, rows)])
    table = torch.full((len(rows), length), PADDING, dtype=torch.int32)
    for row, found in enumerate(rows):
        table[row, : len(found)] = torch.tensor(found, dtype=torch.int32)
    return table


def _buckets(text: str, buckets: int, most: int) -> list[int]:
    found: dict[int, None] = {}
    for ngram in _ngrams(text):
        # Not hash(): it differs between processes.
        found.setdefault(1 + zlib.crc32(ngram.encode("utf-8", "replace")) % (buckets - 1))
        if len(found) == most:
            break
    return list(found)


def _ngrams(text: str) -> Iterator[str]:
    words = _WORD.findall(text.lower())
    yield from words
    yield from (f"{first} {second}" for first, second in pairwise(words))
    for word in words:
        marked = f"<{word}>"
        for size in _CHARACTERS:
            yield from (f"#{marked[i : i + size]}" for i in range(len(marked) - size + 1))
