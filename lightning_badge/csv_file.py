r"""CSV files that people open in a spreadsheet, and that are read again.

Spreadsheets run text that begins with ``=``, ``+``, ``-`` or ``@`` as a formula. Such text, also
behind a tab or a carriage return, is written with an apostrophe before it, and `as_text` removes
that again. Numbers are written as they are.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import one_line, read_text

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_EXPECTED = "a CSV file in UTF-8"


def as_cell(value: Any) -> Any:
    """Returns a value as a cell that no spreadsheet runs.

    Example:
        >>> as_cell("=1+1"), as_cell("'=1"), as_cell(-1), as_cell("a-b")
        ("'=1+1", "''=1", -1, 'a-b')
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def as_text(cell: str) -> str:
    """Returns the text of a cell; the inverse of `as_cell`.

    Example:
        >>> as_text("'=1+1"), as_text("''=1"), as_text("-1"), as_text("'quoted'")
        ('=1+1', "'=1", '-1', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_rows(
    file: TextIO, rows: Iterable[Sequence[Any]], *, line_end: str = "\r\n", escape: bool = True
) -> None:
    """Writes rows of cells, the header being the first.

    Args:
        file: Open for text with ``newline=""``.
        rows: The rows; None becomes an empty cell.
        line_end: What ends a row.
        escape: Whether the file is for people; a tool may take an apostrophe for text.
    """
    line = io.StringIO(newline="")
    # Its own line end makes this writer quote both characters of it, whatever ``line_end`` is.
    writer = csv.writer(line, lineterminator="\r\n")
    for row in rows:
        writer.writerow([as_cell(value) for value in row] if escape else row)
        file.write(line.getvalue()[:-2] + line_end)
        line.seek(0)
        line.truncate()


def read_header(path: Path) -> list[str]:
    """Returns the names of the columns of a CSV file; none if it is empty.

    Raises:
        BadgeError: As `read_csv`.
    """
    with one_line(path, _EXPECTED, BadgeError):
        return list(_reader(read_text(path, _EXPECTED, BadgeError)).fieldnames or ())


def read_csv(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Returns the line number and the cells of each row of a CSV file; short rows have "".

    The delimiter is a comma, a semicolon or a tab; a byte order mark and any line ends are fine.
    Names of columns are texts, cells are as they are in the file: `as_text` returns their texts.

    Raises:
        BadgeError: The file cannot be read, or is no CSV in UTF-8.
    """
    text = read_text(path, _EXPECTED, BadgeError)
    with one_line(path, _EXPECTED, BadgeError):
        # A cell may be as long as the file: the limit is that of `read_text`.
        before = csv.field_size_limit(max(len(text), 1))
        try:
            return list(_rows(_reader(text)))
        finally:
            csv.field_size_limit(before)


def _rows(lines: "csv.DictReader[str]") -> Iterator[tuple[int, dict[str, str]]]:
    try:
        for row in lines:
            row.pop(None, None)  # values beyond the header
            yield lines.line_num, row
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error


def _reader(text: str) -> "csv.DictReader[str]":
    def columns(delimiter: str) -> int:
        return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), []))

    delimiter = max(",;\t", key=columns)
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    lines.fieldnames = [as_text(name) for name in lines.fieldnames or ()]
    return lines
