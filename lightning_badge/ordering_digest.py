"""A digest of an ordering file's content, by which a damaged file is never read as another one.

It covers names, types and values of all columns and the metadata of this package. Files that say
that this package wrote them in format 1.1 or later must have it. Nothing is asked of files of
format 1.0 and of other programs.
"""

import hashlib
import os
from typing import BinaryIO

import numpy as np
import pyarrow as pa

METADATA_KEY = b"lightning_badge"
DIGEST_KEY = b"lightning_badge.sha256"
_TAIL = 8  # bytes behind the footer: its length, and the mark of the format


def with_digest(table: pa.Table, metadata: bytes) -> pa.Table:
    """Returns a table with metadata of this package, and the digest of both."""
    named = table.replace_schema_metadata({METADATA_KEY: metadata})
    digest = _digest(named).encode()
    return named.replace_schema_metadata({METADATA_KEY: metadata, DIGEST_KEY: digest})


def has_digest(file: BinaryIO) -> bool:
    """Whether a Parquet file was written with a digest, also if its metadata are damaged.

    The footer as such is searched, because a single wrong byte hides all metadata from a reader.
    """
    file.seek(-_TAIL, os.SEEK_END)
    footer_bytes = int.from_bytes(file.read(4), "little")
    file.seek(-_TAIL - footer_bytes, os.SEEK_END)
    return DIGEST_KEY in file.read(footer_bytes)


def check_digest(table: pa.Table) -> None:
    """Raises a ValueError if a table is not the one that was written."""
    metadata = table.schema.metadata or {}
    if METADATA_KEY not in metadata or DIGEST_KEY not in metadata:
        raise ValueError(f"its metadata {METADATA_KEY.decode()} or their digest are missing")
    if metadata[DIGEST_KEY].decode("ascii", "replace") != _digest(table):
        raise ValueError("its content has another digest than when it was written")


def _digest(table: pa.Table) -> str:
    """Returns the digest of a table; files contain it, so it must not change."""
    digest = hashlib.sha256()
    for field in table.schema:
        digest.update(f"{field.name!r} {field.type} {len(table)}\n".encode())
        column = table[field.name].combine_chunks()
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        for chunk in chunks:
            for part in _bytes_of(chunk):
                digest.update(part)
    digest.update(table.schema.metadata[METADATA_KEY])
    return digest.hexdigest()


def _bytes_of(column: pa.Array) -> list[bytes]:
    """Returns which values are null, and the values, in little-endian order."""
    nulls = column.is_null().to_numpy(zero_copy_only=False).tobytes()
    if pa.types.is_string(column.type):
        texts = [text.encode() for text in column.fill_null("").to_pylist()]
        return [nulls, np.array([len(text) for text in texts], "<i8").tobytes(), *texts]
    numbers = column.fill_null(0).to_numpy(zero_copy_only=False)
    return [nulls, numbers.astype(numbers.dtype.newbyteorder("<"), copy=False).tobytes()]
