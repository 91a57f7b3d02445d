"""Tables: the columns of a file as standardised numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lightning_badge.datamodule.folder.rows import Rows
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import printable

_MOST_VALUES = 20  # of a text column that becomes one column for each value

_Columns = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Standardised:
    """A column of numbers, centered and scaled; a missing number becomes the mean.

    Attributes:
        largest: Absolute value by which numbers are divided first: squares of large ones overflow.
        mean: Mean of the divided numbers.
        spread: Their standard deviation.
    """

    largest: float
    mean: float
    spread: float

    def __call__(self, values: list[Any]) -> _Columns:
        """Returns values of the column as ``[n, 1]``."""
        numbers = np.array([_number(value) for value in values])
        scaled = (numbers / self.largest - self.mean) / self.spread
        return np.where(np.isfinite(scaled), scaled, 0.0)[:, None]


@dataclass(frozen=True)
class OneHot:
    """A column of texts, as a 0-1 column for each of its values; all 0 for another value."""

    categories: tuple[str, ...]

    def __call__(self, values: list[Any]) -> _Columns:
        """Returns values of the column as ``[n, m]``."""
        one_hot: _Columns = _as_objects(_texts(values))[:, None] == _as_objects(self.categories)
        return one_hot.astype(np.float64)


Rules = Mapping[str, Callable[[list[Any]], _Columns]]


def table_of(file: Path, rows: Rows, rules: Rules | None = None) -> Samples:
    """Returns the columns of a file as float32 ``[n, columns]``.

    Numeric columns are standardised over all rows; a missing number becomes the mean. A text
    column of 2 to 20 different values becomes a 0-1 column for each value. Other columns and
    constant ones are left out.

    Args:
        file: For messages.
        rows: Rows of the file.
        rules: Those of the rows that were read before; None finds them in these rows.

    Raises:
        BadgeError: No usable column, or one that is missing.
    """
    if rules is None:
        found = {name: _rule_of(values) for name, values in rows.columns.items()}
        rules = {name: rule for name, rule in found.items() if rule is not None}
    elif missing := sorted(rules.keys() - rows.columns.keys()):
        raise BadgeError(
            f"{file}: expected the columns of before, {', '.join(missing)} are missing"
        )
    made = [rule(rows.columns[name]) for name, rule in rules.items()]
    unused = [name for name in rows.columns if name not in rules]
    if not made:
        raise BadgeError(
            f"{file}: expected numeric columns, or text columns of 2 to {_MOST_VALUES} different "
            f"values, found {printable(', '.join(rows.columns)) or 'none'}"
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
        rules=rules,
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


def _rule_of(values: list[Any]) -> Callable[[list[Any]], _Columns] | None:
    """Returns how a column of a file becomes numbers; None if it has no use."""
    try:
        numbers = np.array([_number(value, strict=True) for value in values])
    except (TypeError, ValueError):
        categories = sorted(set(_texts(values)))
        return OneHot(tuple(categories)) if 2 <= len(categories) <= _MOST_VALUES else None
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return None
    largest = max(float(np.abs(known).max()), float(np.finfo(np.float64).tiny))
    mean, spread = float((known / largest).mean()), float((known / largest).std())
    return None if spread < 1e-12 else Standardised(largest, mean, spread)


def _number(value: Any, *, strict: bool = False) -> float:
    """Returns a value as a number, NaN if it is missing or, unless ``strict``, no number."""
    try:
        number = np.nan if value is None else float(value)
    except OverflowError:  # of an integer that no float holds
        return np.nan
    except (TypeError, ValueError):
        if strict:
            raise
        return np.nan
    return number if np.isfinite(number) else np.nan


def _as_objects(texts: Sequence[str]) -> npt.NDArray[np.object_]:
    return np.array(texts, dtype=np.object_)  # numpy's own texts lose NUL at their ends


def _texts(values: list[Any]) -> list[str]:
    return ["" if value is None else str(value).strip() for value in values]
