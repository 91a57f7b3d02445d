"""Limits of files that people hand over, and one line for whatever a file makes a reader raise.

The limits are far above what honest files need. They stop a small file from filling the memory.
Decoders of hostile bytes raise errors of any kind (``RecursionError``, ``MemoryError``, errors of
C++ and Rust libraries), so `one_line` turns every exception into one that names the file.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from lightning_badge.exceptions import BadgeError

ROWS = 1_000_000_000
ID_LENGTH = 2**20  # characters of a sample id
METADATA_BYTES = 2**26  # of a table's footer or an array's header
DECODED_BYTES = 2**30  # of any file, however small
DECODED_RATIO = 100  # larger files may decode to this many times their own size
TEXT_BYTES = 2**32  # of a file of text, which is read at once
_LONGEST_REASON = 300


def decoded_limit(size: int) -> int:
    """Returns how many bytes a file of ``size`` bytes may decode to."""
    return max(DECODED_BYTES, DECODED_RATIO * size)


def check_limit(what: str, found: int, limit: int) -> None:
    """Raises a ValueError if a number that a file contains is negative or exceeds its limit."""
    if found < 0:
        raise ValueError(f"{what}: expected 0 or more, got {found:,}; the file is damaged")
    if found > limit:
        raise ValueError(f"{what}: expected at most {limit:,}, got {found:,}; split the file")


def check_file(path: Path, limit: int | None = None) -> int:
    """Returns the size of a regular file.

    Raises:
        ValueError: It is a folder, a pipe or a device, or larger than ``limit``.
    """
    if not path.is_file():
        path.stat()  # names what is wrong with a missing file
        raise ValueError("not a regular file")
    size = path.stat().st_size
    if limit is not None:
        check_limit("bytes", size, limit)
    return size


@contextmanager
def one_line(
    path: str | os.PathLike[str], expected: str, error: type[BadgeError], *, mend: str = ""
) -> Iterator[None]:
    """Turns every exception in the ``with`` block into one line that names the file.

    Errors of this package pass unchanged.

    Args:
        path: The file.
        expected: What it should be, such as ``a Parquet file``.
        error: Exception class to raise.
        mend: What to do about it.
    """
    try:
        yield
    except BadgeError:
        raise
    except Exception as reason:
        ending = f"; {mend}" if mend else ""
        raise error(
            f"{path}: expected {expected}, but it cannot be read ({reason_of(reason)}){ending}"
        ) from reason


@contextmanager
def opened(
    path: str | os.PathLike[str], expected: str, error: type[BadgeError], *, mend: str = ""
) -> Iterator[BinaryIO]:
    """Opens a regular file; exceptions in the ``with`` block are as in `one_line`."""
    with one_line(path, expected, error, mend=mend):
        check_file(Path(path))
        with open(path, "rb") as file:
            yield file


def reason_of(error: BaseException) -> str:
    """Returns what an exception says, in one line of readable characters.

    Example:
        >>> reason_of(MemoryError())
        'MemoryError'
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    try:
        said = " ".join(str(error).split())
    except Exception:  # some libraries decode the bytes of the file for their message
        said = ""
    if isinstance(error, KeyError) or not said:
        said = f"{type(error).__name__}{': ' if said else ''}{said}"
    return printable(said)


def printable(text: str) -> str:
    r"""Returns text from a file so that it fits into a message: one line, and not too long.

    Example:
        >>> printable("a\nb")
        'a b'
    """
    line = " ".join(text[: 2 * _LONGEST_REASON].split())
    line = "".join(letter if letter.isprintable() else "\ufffd" for letter in line)
    return line if len(line) <= _LONGEST_REASON else f"{line[: _LONGEST_REASON - 3]}..."


def read_text(path: Path, expected: str, error: type[BadgeError], *, mend: str = "") -> str:
    """Returns the text of a file in UTF-8, with or without a byte order mark.

    Raises:
        BadgeError: No regular file, too large, or not UTF-8.
    """
    with one_line(path, expected, error, mend=mend):
        check_file(path, TEXT_BYTES)
        return path.read_bytes().decode("utf-8-sig")  # line ends stay as they are


def read_json(path: Path, expected: str, error: type[BadgeError], *, mend: str = "") -> Any:
    """Returns the values of a JSON file.

    Raises:
        BadgeError: As `read_text`, or no JSON.
    """
    text = read_text(path, expected, error, mend=mend)
    with one_line(path, expected, error, mend=mend):
        return json.loads(text)
