"""A pool in a folder of Parquet files, as Spark, Ray Data, Dask or Polars write it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import torch

from lightning_badge.embedding_blocks import Block, BlockedPool
from lightning_badge.embedding_columns import ARRAYS, IDS, check_names, ids_of, matrix_of
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.file_limits import opened
from lightning_badge.parquet_file import open_parquet
from lightning_badge.sample_ids import name_ids

_EXPECTED = "a Parquet file of embeddings"
PARQUET = (".parquet", ".pq")
ROWS_AT_ONCE = 8192
# Folders of table formats, in which files may hold rows that were deleted or replaced.
_LOGS = {"_delta_log": "Delta", ".hoodie": "Hudi"}


def parquet_pool(folder: Path) -> BlockedPool:
    """Returns the pool in a folder of Parquet files, in the order of their paths.

    Files in subfolders count. Names that begin with ``.`` or ``_`` do not, such as ``_SUCCESS``.

    Args:
        folder: Files with the list columns ``penultimate`` and ``logits``, and ``sample_id``.

    Raises:
        EmbeddingError: No Parquet file, other files, one that cannot be read, or a missing column.
    """
    files = _files(folder)
    n, dtype = 0, torch.float32
    for path in files:
        with opened(path, _EXPECTED, EmbeddingError) as file:
            parquet = open_parquet(file)
            schema = parquet.schema_arrow
            check_names(path, schema.names)
            n += parquet.metadata.num_rows
            if any(_is_double(schema.field(name).type) for name in ARRAYS):
                dtype = torch.float64
    if not n:
        raise EmbeddingError(f"{folder}: expected one row or more, got {len(files)} empty files")
    return BlockedPool(folder, n, dtype, partial(_read, files))


def _files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).parts)
    for path in found:
        if path.name in _LOGS:
            raise EmbeddingError(
                f"{folder}: expected plain Parquet files, got a {_LOGS[path.name]} table, whose "
                "files also hold rows that were replaced; write its current rows as Parquet"
            )
    visible = [
        path
        for path in found
        if not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        and not path.is_dir()
    ]
    files = [path for path in visible if path.suffix in PARQUET]
    if others := [path for path in visible if path.suffix not in PARQUET]:
        some = name_ids([str(path.relative_to(folder)) for path in others])
        raise EmbeddingError(f"{folder}: expected only Parquet files ({PARQUET[0]}), got {some}")
    if not files:
        raise EmbeddingError(
            f"{folder}: expected Parquet files, or shards of lightning-badge embed, got neither"
        )
    return files


def _read(files: list[Path]) -> Iterator[Block]:
    for path in files:
        with opened(path, _EXPECTED, EmbeddingError) as file:
            parquet = open_parquet(file)
            names = [name for name in (*ARRAYS, IDS) if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=names):
                batch.validate(full=True)
                if len(batch):
                    yield _block(pa.table(batch), path)


def _block(table: pa.Table, path: Path) -> Block:
    ids = ids_of(table[IDS], f"{path}, column {IDS}") if IDS in table.column_names else None
    arrays = {name: matrix_of(table[name], f"{path}, column {name}") for name in ARRAYS}
    return Block(ids, **arrays, source=path)


def _is_double(kind: pa.DataType) -> bool:
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return bool(getattr(kind, "value_type", None) == pa.float64())
