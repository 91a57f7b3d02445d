"""The columns of embeddings in tables: names, lists of one length as matrices, ids."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from lightning_badge.exceptions import EmbeddingError
from lightning_badge.file_limits import printable
from lightning_badge.sample_ids import SampleIds, as_sample_ids

ARRAYS = ("penultimate", "logits")
IDS = "sample_id"


def check_names(path: Path, names: list[str]) -> None:
    """Raises an EmbeddingError if one of the two arrays is missing among ``names``."""
    if set(ARRAYS) - set(names):
        raise EmbeddingError(
            f"{path}: expected {' and '.join(ARRAYS)} (and {IDS} for ids), got "
            f"{printable(', '.join(names))}"
        )


def matrix_of(column: pa.ChunkedArray, what: str) -> Tensor:
    """Returns lists of one length as ``[n, d]``, without a copy if the column is one chunk.

    Args:
        column: Lists of floats: of fixed size, of any size, or an extension type that is stored so.
        what: Subject of the error message.

    Raises:
        EmbeddingError: Other values than floats, nulls, or lists of several lengths.
    """
    if isinstance(column.type, pa.BaseExtensionType):
        storage = [chunk.storage for chunk in column.chunks]
        column = pa.chunked_array(storage, type=column.type.storage_type)
    is_list = (pa.types.is_fixed_size_list, pa.types.is_list, pa.types.is_large_list)
    if not any(predicate(column.type) for predicate in is_list):
        raise EmbeddingError(f"{what}: expected a list of floats in each row, got {column.type}")
    rows = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [[]])
    flat, lengths = rows.flatten(), pc.list_value_length(rows)
    shortest, longest = pc.min_max(lengths).values()
    if rows.null_count or flat.null_count or shortest != longest:
        raise EmbeddingError(f"{what}: expected lists of one length, without nulls")
    width = longest.as_py() or 0
    return floats_of(flat.to_numpy(zero_copy_only=False).reshape(len(rows), width), what)


def floats_of(array: npt.NDArray[Any], what: str) -> Tensor:
    """Returns an array of floats as a tensor, without a copy in native byte order.

    Raises:
        EmbeddingError: Other values than floats of at most 64 bits.
    """
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise EmbeddingError(f"{what}: expected floats, got {array.dtype}")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable", category=UserWarning)
        return torch.from_numpy(native)


def ids_of(column: pa.ChunkedArray, what: str) -> SampleIds:
    """Returns a column of ids, which may repeat.

    Args:
        column: Integers or text.
        what: Subject of the error message.

    Raises:
        EmbeddingError: Other values, or nulls.
    """
    if column.null_count:
        raise EmbeddingError(f"{what}: expected an id in each row, got {column.null_count} nulls")
    if pa.types.is_integer(column.type) and column.type != pa.uint64():
        numbers: SampleIds = column.to_numpy().astype(np.int64)
        return numbers
    try:
        return as_sample_ids(column.to_pylist(), unique=False, error=EmbeddingError)
    except EmbeddingError as error:
        raise EmbeddingError(f"{what}: {error}") from error
