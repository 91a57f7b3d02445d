"""Checks of the types of arguments, as plain Python values.

Integers and truth values of numpy become those of Python, which JSON and checkpoints hold.
Each check raises one line that names the argument, what was expected and what came.
"""

import operator
import os
from typing import Any

# What raises: a class of exceptions, such as LabelError.
Error = type[Exception]


def integer(name: str, value: Any, *, least: int | None = None, error: Error) -> int:
    """Returns an integer, also one of numpy.

    Args:
        name: The argument, for messages.
        value: Its value.
        least: The smallest valid value; None for any.
        error: Exception class to raise.

    Example:
        >>> import numpy as np
        >>> integer("k", np.int64(2), least=1, error=ValueError)
        2
    """
    expected = "an integer" if least is None else f"an integer of {least} or more"
    if not is_integer(value) or (least is not None and value < least):
        raise _wrong(name, expected, value, error)
    return operator.index(value)


def is_integer(value: Any) -> bool:
    """Whether a value is an integer, also one of numpy, and not True or False."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return not _is_flag(value)


def flag(name: str, value: Any, *, error: Error) -> bool:
    """Returns True or False."""
    if not _is_flag(value):
        raise _wrong(name, "true or false", value, error)
    return bool(value)


def text(name: str, value: Any, *, error: Error) -> str:
    """Returns a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise _wrong(name, "a text", value, error)
    return value


def path(name: str, value: Any, *, error: Error) -> str | os.PathLike[str]:
    """Returns a path: text or an object such as ``pathlib.Path``."""
    is_path = isinstance(value, str | os.PathLike) and isinstance(os.fspath(value), str)
    if not is_path or not os.fspath(value) or "\0" in os.fspath(value):
        raise _wrong(name, "a path", value, error)
    given: str | os.PathLike[str] = value
    return given


def choice(name: str, value: Any, choices: tuple[str, ...], *, error: Error) -> str:
    """Returns one of several names."""
    if not isinstance(value, str) or value not in choices:
        raise _wrong(name, f"one of {', '.join(choices)}", value, error)
    return value


def instance(name: str, value: Any, kind: Any, expected: str, *, error: Error) -> Any:
    """Returns an object of a class or a protocol; ``expected`` says what it is, for messages."""
    if not isinstance(value, kind):
        raise _wrong(name, expected, value, error)
    return value


def function(name: str, value: Any, expected: str, *, error: Error) -> Any:
    """Returns something that can be called; ``expected`` says what it is, for messages."""
    if not callable(value):
        raise _wrong(name, expected, value, error)
    return value


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def _wrong(name: str, expected: str, value: Any, error: Error) -> Exception:
    shown = " ".join(repr(value).split())
    shown = shown if len(shown) <= 80 else f"{shown[:77]}... ({type(value).__name__})"
    return error(f"{name}: expected {expected}, got {shown}")
