"""Parquet files read within limits, with page checksums verified where there are some."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightning_badge import file_limits
from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import check_limit, decoded_limit, opened

_ROWS_AT_ONCE = 65_536


def open_parquet(file: BinaryIO, **options: Any) -> pq.ParquetFile:
    """Opens a Parquet file and compares what its footer says with the limits.

    Args:
        file: As `file_limits.opened` yields it.
        **options: Of ``pyarrow.parquet.ParquetFile``.

    Raises:
        ValueError: Too many rows, too large a footer, or too many bytes once it is decoded.
    """
    found = pq.ParquetFile(file, page_checksum_verification=True, **options)
    footer = found.metadata
    check_limit("bytes of metadata", footer.serialized_size, file_limits.METADATA_BYTES)
    check_limit("rows", footer.num_rows, file_limits.ROWS)
    check_limit("decoded bytes", _decoded(footer), _limit(file))
    return found


def table_in(file: BinaryIO, columns: Collection[str] | None = None) -> pa.Table:
    """Reads a Parquet file; columns of text that is not nested are never decoded beyond the limit.

    Args:
        file: As `file_limits.opened` yields it.
        columns: The columns to read, as far as they are there; None for all.

    Raises:
        Exception: Whatever pyarrow raises, and ValueError for a file that exceeds a limit.
    """
    schema = open_parquet(file).schema_arrow
    if len(set(schema.names)) < len(schema.names):
        raise ValueError("columns: expected distinct names")
    names = [name for name in schema.names if columns is None or name in columns]
    # A text that repeats is kept once until it is known how much memory all of it takes.
    texts = [name for name in names if _is_text(schema.field(name).type)]
    parquet, limit, decoded = open_parquet(file, read_dictionary=texts), _limit(file), 0
    batches = []
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=names):
        decoded += sum(map(_decoded_bytes, batch.columns))
        check_limit("decoded bytes", decoded, limit)
        batches.append(batch)
    read = pa.schema([parquet.schema_arrow.field(name) for name in names], schema.metadata)
    wanted = pa.schema([schema.field(name) for name in names], schema.metadata)
    table = pa.Table.from_batches(batches, read).cast(wanted)
    table.validate(full=True)  # that texts are UTF-8, too
    return table


def read_parquet(
    path: Path,
    expected: str,
    error: type[BadgeError],
    *,
    columns: Collection[str] | None = None,
    mend: str = "",
) -> pa.Table:
    """Reads a Parquet file as `table_in` does; the other arguments are those of `one_line`.

    Raises:
        BadgeError: The file is missing, damaged, of another kind, or exceeds a limit.
    """
    with opened(path, expected, error, mend=mend) as file:
        return table_in(file, columns)


def _limit(file: BinaryIO) -> int:
    return decoded_limit(os.fstat(file.fileno()).st_size)


def _decoded(footer: pq.FileMetaData) -> int:
    """Returns the number of bytes that the columns have once they are decoded, as the file says.

    Only what row groups say is read: pyarrow 26 ends the process where that of a column is damaged.
    """
    groups = map(footer.row_group, range(footer.num_row_groups))
    return max(sum(int(group.total_byte_size) for group in groups), int(footer.num_rows))


def _decoded_bytes(column: pa.Array) -> int:
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.binary_length(column.dictionary).cast(pa.int64())
    decoded = pc.sum(lengths.take(column.indices)).as_py() or 0
    return int(decoded) + 4 * len(column)


def _is_text(kind: pa.DataType) -> bool:
    predicates = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(predicate(kind) for predicate in predicates)
