"""Labels as plain Python values that can be stored as text.

An answer is a label or ``SKIP``. Only this module converts numpy and torch values to plain Python
values. So training sees exactly the stored values, with or without a restart.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, TypeAlias

from lightning_badge.exceptions import BadgeError, LabelError

Label: TypeAlias = int | float | str | bool | list[Any]


class Skip(Enum):
    """The type of ``SKIP``."""

    SKIP = "skip"

    def __repr__(self) -> str:
        return "SKIP"


SKIP: Final = Skip.SKIP
"""The answer of a labeler who saw the sample but did not label it."""


class Undo(Enum):
    """The type of ``UNDO``."""

    UNDO = "undo"

    def __repr__(self) -> str:
        return "UNDO"


UNDO: Final = Undo.UNDO
"""Withdraws what an annotator answered to a sample, as if it had never been answered."""


def as_label(value: Any) -> Label:
    """Returns a label as a plain value: arrays and tensors become numbers or nested lists.

    Raises:
        LabelError: A value that is not an int, finite float, str, bool or list of these.

    Example:
        >>> import numpy as np
        >>> as_label(np.int64(7)), as_label(np.array([1, 0]))
        (7, [1, 0])
    """
    raw = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(raw, (list, tuple)):
        return [as_label(item) for item in raw]
    if isinstance(raw, (int, str)) or (isinstance(raw, float) and math.isfinite(raw)):
        return raw
    raise LabelError(
        "label: expected an int, a finite float, a str, a bool or a list of these, "
        f"got {value!r} ({type(value).__name__})"
    )


def as_plain(value: Any, *, error: type[BadgeError]) -> Any:
    """Returns values such as metrics as plain values that strict JSON can represent.

    Arrays and tensors become numbers or lists. NaN and infinite numbers, which JSON cannot
    represent, become ``None``.

    Args:
        value: A number, str, bool, None, array, tensor, or mappings and lists of these.
        error: Exception class for any other value.

    Example:
        >>> as_plain({"loss": float("nan")}, error=LabelError)
        {'loss': None}
    """
    raw = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(raw, Mapping):
        return {str(key): as_plain(item, error=error) for key, item in raw.items()}
    if isinstance(raw, (list, tuple)):
        return [as_plain(item, error=error) for item in raw]
    if isinstance(raw, float):
        return raw if math.isfinite(raw) else None
    if raw is None or isinstance(raw, (int, str)):
        return raw
    raise error(
        "expected numbers, strings, bools, None, arrays, or lists and mappings of these, "
        f"got {value!r} ({type(value).__name__})"
    )


def as_class_names(names: Iterable[Any]) -> tuple[Any, ...]:
    """Returns names of classes without blanks at their ends, which no file of labels keeps.

    Raises:
        LabelError: Names that are then equal, or empty.

    Example:
        >>> as_class_names([" cat", "guinea pig "])
        ('cat', 'guinea pig')
    """
    given = list(names)
    plain = [name.strip() if isinstance(name, str) else name for name in given]
    changed = [name for name, kept in zip(given, plain, strict=True) if name != kept]
    if changed and ("" in plain or len(set(plain)) < len(plain)):
        raise LabelError(
            f"classes: expected names that differ in more than blanks at their ends, got {given}"
        )
    return tuple(plain)


def label_text(label: Label, class_names: Sequence[str] | None) -> str:
    """Returns a label as people write it: the class, ``cat|dog`` for several, ``none`` for none.

    A label that is not a class of ``class_names``, as in regression, is written as JSON.

    Example:
        >>> label_text(1, ["cat", "dog"]), label_text([1.0, 1.0], ["cat", "dog"]), label_text(7, ())
        ('dog', 'cat|dog', '7')
    """
    names = list(class_names or ())
    if isinstance(label, str):
        return label
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        return names[label]
    if isinstance(label, list) and names and len(label) == len(names) and set(label) <= {0, 1}:
        return "|".join(name for name, has in zip(names, label, strict=True) if has) or "none"
    return json.dumps(label, ensure_ascii=False)
