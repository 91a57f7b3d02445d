"""The nearest word to one that does not exist."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Returns ``, did you mean X?`` to put behind a message; nothing where no word is near.

    Example:
        >>> did_you_mean("budgte", ["budget", "data"])
        ', did you mean budget?'
        >>> did_you_mean("zzz", ["budget"])
        ''
    """
    near = get_close_matches(word, list(words), n=1)
    return f", did you mean {near[0]}?" if near else ""
