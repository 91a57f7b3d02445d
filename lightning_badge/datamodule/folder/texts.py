"""Texts: one of each row of a file."""

from pathlib import Path
from typing import Any

from lightning_badge.datamodule.folder.ngrams import hashed_ngrams
from lightning_badge.datamodule.folder.rows import Rows
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import printable

# A column with shorter values on average, or fewer different ones, holds categories, not texts.
_SHORTEST, _FEWEST = 15.0, 20


def text_column(rows: Rows) -> str | None:
    """Returns the column with the longest values on average, if these are texts, else None."""
    lengths = {name: _mean_length(values) for name, values in rows.columns.items()}
    longest = max(lengths, key=lengths.__getitem__, default=None)
    return longest if longest is not None and lengths[longest] >= _SHORTEST else None


def texts_of(file: Path, rows: Rows, column: str | None = None) -> Samples:
    """Returns the texts of a file as hashed n-grams, int32 ``[n, l]``.

    Rows without a text are left out.

    Args:
        file: For messages.
        rows: Rows of the file.
        column: Column of the texts; None chooses.

    Raises:
        BadgeError: No column of texts, or no text.
    """
    name = column or text_column(rows)
    if name is None:
        raise BadgeError(
            f"{file}: expected a column of texts, found "
            f"{printable(', '.join(rows.columns)) or 'none'}; name it with data.text_column=..."
        )
    left_out = dict(rows.left_out)
    ids, texts = [], []
    for sample_id, value in zip(rows.sample_ids, rows.columns[name], strict=True):
        if isinstance(value, str) and value.strip():
            ids.append(sample_id)
            texts.append(value)
        else:
            found = "nothing" if value is None or value == "" else repr(value)[:40]
            left_out[str(sample_id)] = f"column {name!r}: expected a text, got {found}"
    if not texts:
        raise BadgeError(f"{file}: column {name!r}: expected texts, found none")
    kept = set(ids)
    labels = {sample_id: label for sample_id, label in rows.labels.items() if sample_id in kept}
    notes = [f"texts are in column {name!r}", *rows.notes]
    return Samples(
        *("texts", ids, hashed_ngrams(texts), left_out, notes, labels),
        shown_as="text",
        shown=texts,
        text_column=name,
    )


def _mean_length(values: list[Any]) -> float:
    texts = [value for value in values if isinstance(value, str)]
    if len(set(texts)) <= min(_FEWEST, len(values) // 2) or all(map(_is_number, texts)):
        return 0.0
    return sum(map(len, texts)) / len(texts)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
