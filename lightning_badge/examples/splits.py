"""Reads the splits of a data set with Hugging Face ``datasets``, from the Hub or a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning_badge.examples.extra import examples_extra
from lightning_badge.exceptions import BadgeError


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns errors into one-line messages and disables progress bars.

    Raises:
        BadgeError: Replaces any other exception and names the data.
    """
    with examples_extra():
        from datasets import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )

    were_disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    except Exception as error:  # the readers of `datasets` raise many types of errors
        lines = str(error).splitlines() or [type(error).__name__]
        raise BadgeError(f"data {path!r}: {lines[0]}") from error
    finally:
        if not were_disabled:
            enable_progress_bars()


def read_split(path: str, name: str | None, split: str) -> Any:
    """Returns the rows of a split of a folder, or of a data set on the Hub."""
    from datasets import load_dataset

    folder = Path(path).expanduser()
    if folder.is_dir():
        return load_dataset(str(folder), name, split=split)
    if folder.is_absolute() or path.startswith(".") or len(folder.parts) > 2 or folder.exists():
        raise BadgeError(f"expected an existing folder, got {folder.absolute()}")
    try:
        return load_dataset(path, name, split=split)
    except OSError as error:
        raise BadgeError(f"no folder has this name, and the Hub reports: {error}") from error


def read_splits(
    path: str, name: str | None, train_split: str, val_split: str | None
) -> tuple[Any, Any]:
    """Returns the rows of the training and the validation split.

    Args:
        path: A folder, or the name of a data set on the Hub.
        name: The configuration of the data set, if it has several.
        train_split: Name or slice of the training split.
        val_split: Name or slice of the validation split; None uses ``validation``, or ``test`` if
            that is missing.
    """
    train_rows = read_split(path, name, train_split)
    return train_rows, read_split(path, name, val_split or _default_val_split(train_rows))


def check_column(rows: Any, column: str) -> None:
    """Raises a BadgeError that lists the columns if the given one is missing."""
    if column not in rows.column_names:
        raise BadgeError(f"no column {column!r}; the columns are {', '.join(rows.column_names)}")


def read_classes(
    train_rows: Any, val_rows: Any, column: str
) -> tuple[list[int], list[int], list[str]]:
    """Returns the class indices of both splits and the names of all classes.

    Args:
        train_rows: The training split.
        val_rows: The validation split.
        column: Column of class labels, ints from 0, or strings, which are numbered in alphabetical
            order.

    Raises:
        BadgeError: A row has no class or an empty one, or a class that does not occur in the
            training split.
    """
    for rows in (train_rows, val_rows):
        check_column(rows, column)
    train, val = list(train_rows[column]), list(val_rows[column])
    names: list[str] | None = getattr(train_rows.features[column], "names", None)
    expected = "a class 0, 1, ..."
    if any(isinstance(value, str) for value in train):
        names = sorted({value for value in train if not _is_empty(value)})
        expected = f"one of {', '.join(names):.200}"
        code = {name: number for number, name in enumerate(names)}
        train, val = ([code.get(value, value) for value in values] for values in (train, val))
    for rows, values in ((train_rows, train), (val_rows, val)):
        for row, value in enumerate(values):
            if not isinstance(value, int) or value < 0:
                got = "an empty value; remove such rows, or fill in their class"
                if not _is_empty(value):
                    got = f"{value!s:.40} ({rows.features[column]})"
                raise BadgeError(
                    f"column {column!r}, row {row} of split {str(rows.split)!r}: expected "
                    f"{expected}, got {got}"
                )
    return train, val, names or list(map(str, range(max(train) + 1)))


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _default_val_split(rows: Any) -> str:
    splits = list(rows.info.splits or {})
    for split in ("validation", "test"):
        if split in splits:
            return split
    raise BadgeError(
        f"no split 'validation' or 'test' in {', '.join(splits)}; name one, or divide one, on the "
        "command line with \"data.train_split='train[:90%]'\" \"data.val_split='train[90%:]'\""
    )
