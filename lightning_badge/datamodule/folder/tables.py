"""Tables: the columns of a file as standardised numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lightning_badge.datamodule.folder.rows import Rows
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.exceptions import BadgeError

_MOST_VALUES = 20  # of a text column that becomes one column for each value

_Columns = npt.NDArray[np.float64]


def table_of(file: Path, rows: Rows) -> Samples:
    """Returns the columns of a file as float32 ``[n, columns]``.

    Numeric columns are standardised over all rows; a missing number becomes the mean. A text
    column of 2 to 20 different values becomes a 0-1 column for each value. Other columns and
    constant ones are left out.

    Args:
        file: For messages.
        rows: Rows of the file.

    Raises:
        BadgeError: No usable column.
    """
    made: list[_Columns] = []
    unused: list[str] = []
    for name, values in rows.columns.items():
        columns = _columns_of(values)
        if columns is None:
            unused.append(name)
        else:
            made.append(columns)
    if not made:
        raise BadgeError(
            f"{file}: expected numeric columns, or text columns of 2 to {_MOST_VALUES} different "
            f"values, found {', '.join(rows.columns) or 'none'}"
        )
    inputs = torch.from_numpy(np.concatenate(made, axis=1)).float()
    notes = [*rows.notes]
    if unused:
        notes.append(
            f"columns {', '.join(map(repr, unused))} are not used: constant, or texts of more than "
            f"{_MOST_VALUES} different values"
        )
    return Samples(
        *("tables", rows.sample_ids, inputs, rows.left_out, notes, rows.labels),
        shown_as="row",
        shown=_as_texts(rows),
        columns=rows.columns,
    )


def _as_texts(rows: Rows) -> list[str]:
    """Returns each row as a line of text."""
    return [
        ", ".join(
            f"{name}={value}"
            for name, value in zip(rows.columns, row, strict=True)
            if value is not None
        )
        for row in zip(*rows.columns.values(), strict=True)
    ]


def _columns_of(values: list[Any]) -> _Columns | None:
    """Returns a column of a file as columns of numbers, ``[n, m]``; None if it has no use."""
    numbers = _as_numbers(values)
    if numbers is not None:
        return _standardised(numbers)
    texts = ["" if value is None else str(value).strip() for value in values]
    categories = sorted(set(texts))
    if not 2 <= len(categories) <= _MOST_VALUES:
        return None
    one_hot: _Columns = np.array(texts)[:, None] == np.array(categories)
    return one_hot.astype(np.float64)


def _as_numbers(values: list[Any]) -> _Columns | None:
    """Returns numbers ``[n]``, NaN where there is none; None if a value is not a number."""
    try:
        numbers = np.array([np.nan if value is None else float(value) for value in values])
    except (TypeError, ValueError):
        return None
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _standardised(numbers: _Columns) -> _Columns | None:
    is_known = ~np.isnan(numbers)
    if not is_known.any():
        return None
    # Divided by the largest first: the square of a large number overflows.
    scaled = numbers / max(np.abs(numbers[is_known]).max(), np.finfo(np.float64).tiny)
    mean, spread = scaled[is_known].mean(), scaled[is_known].std()
    if spread < 1e-12:
        return None
    return np.where(is_known, (scaled - mean) / spread, 0.0)[:, None]
