"""The ordering file: a Parquet table with JSON metadata, the only interface of callback and loop.

Required columns: ``rank`` int64 from 0, ``sample_id`` int64 or string. Optional columns: ``gain``
float64, ``hallucinated_label`` int32, ``confidence`` float32, ``coverage`` float32. The file's
metadata key ``lightning_badge`` describes in JSON how the ordering was computed. Any Parquet file
with the required columns, also one from another program, can be read as an ordering.

Since format 1.1 the pages carry checksums, and the metadata a digest of the content
(`ordering_digest`): a damaged file is refused, and never read as another ordering.
"""

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lightning_badge.durable.file import replacing
from lightning_badge.durable.leftovers import sweep
from lightning_badge.exceptions import ArtifactError
from lightning_badge.file_limits import ID_LENGTH, check_limit, one_line, opened, printable
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_digest import METADATA_KEY, check_digest, has_digest, with_digest
from lightning_badge.parquet_file import open_parquet, table_in
from lightning_badge.sample_ids import SampleId, SampleIds, is_str, name_ids, repeated_ids

FORMAT_VERSION = "1.1"
_DIGEST_SINCE = 1  # minor version
_EXPECTED = "a Parquet ordering file"
_MEND = "delete it and let the callback write it again"

# column -> (attribute of Ordering, type in the file)
_OPTIONAL = {
    "gain": ("gains", pa.float64()),
    "hallucinated_label": ("hallucinated_label", pa.int32()),
    "confidence": ("confidence", pa.float32()),
    "coverage": ("coverage", pa.float32()),
}


def write_ordering(ordering: Ordering, path: str | os.PathLike[str]) -> Path:
    """Writes an ordering file atomically: a reader sees the old or the complete new file.

    Args:
        ordering: The ordering.
        path: The file; missing folders are created.

    Returns:
        The path.
    """
    path = Path(path)
    table = ordering_table(ordering)
    sweep(path.parent, path.name.__eq__)
    with replacing(path) as temporary:
        pq.write_table(table, temporary, write_page_checksum=True)
    return path


def read_ordering(path: str | os.PathLike[str]) -> Ordering:
    """Reads and validates an ordering file.

    Args:
        path: A file from ``write_ordering``, or any Parquet file with the columns ``rank`` and
            ``sample_id``.

    Raises:
        ArtifactError: A missing, damaged or truncated file, another format, one that exceeds a
            limit of `file_limits`, or rows that are not an ordering; the message names the file,
            the column and the first invalid row.
    """
    path = Path(path)
    table, is_ours = _read_table(path)
    metadata = _read_metadata(table, path, is_ours)
    _check_columns(table, path)
    with one_line(path, _EXPECTED, ArtifactError, mend=_MEND):
        table = table.take(pc.sort_indices(table["rank"]))
    _check_rows(table, path)
    optional: dict[str, Any] = {
        attribute: _to_numpy(table, column, kind, path)
        for column, (attribute, kind) in _OPTIONAL.items()
        if column in table.column_names and table[column].null_count < max(1, len(table))
    }
    return Ordering(
        sample_ids=np.array(table["sample_id"].to_pylist(), dtype=_id_dtype(table)),
        metadata=metadata,
        **optional,
    )


def is_ordering_file(path: str | os.PathLike[str]) -> bool:
    """Whether a Parquet file has the columns of an ordering; False where it cannot be read."""
    try:
        with opened(path, _EXPECTED, ArtifactError) as file:
            return {"rank", "sample_id"} <= set(open_parquet(file).schema_arrow.names)
    except ArtifactError:
        return False


def ordering_table(ordering: Ordering) -> pa.Table:
    """Returns the table of an ordering file, its metadata included."""
    columns = {
        "rank": pa.array(np.arange(len(ordering), dtype=np.int64)),
        "sample_id": pa.array(ordering.sample_ids.tolist(), type=_id_type(ordering.sample_ids)),
    }
    for column, (attribute, kind) in _OPTIONAL.items():
        values = getattr(ordering, attribute)
        if values is None:
            columns[column] = pa.nulls(len(ordering), kind)
        else:
            columns[column] = pa.array(values, mask=_unknown(values)).cast(kind)
    metadata = {**ordering.metadata, "n_ordered": len(ordering), "versions": _versions()}
    metadata["format_version"] = FORMAT_VERSION
    return with_digest(pa.table(columns), json.dumps(metadata).encode())


def _versions() -> dict[str, str]:
    packages = ("lightning-badge", "lightning", "torch", "pyarrow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _id_type(sample_ids: SampleIds) -> pa.DataType:
    return pa.string() if is_str(sample_ids) else pa.int64()


def _id_dtype(table: pa.Table) -> type[Any]:
    return np.int64 if pa.types.is_integer(table.schema.field("sample_id").type) else np.object_


def _read_table(path: Path) -> tuple[pa.Table, bool]:
    """Returns the table of a file, and whether it must have a digest."""
    if not path.exists():
        raise ArtifactError(f"{path}: expected an ordering file, but the file does not exist")
    with opened(path, _EXPECTED, ArtifactError, mend=_MEND) as file:
        return table_in(file), has_digest(file)


def _read_metadata(table: pa.Table, path: Path, is_ours: bool) -> dict[str, Any]:
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    if raw is None and not is_ours:
        warn(
            f"{path}: no lightning_badge metadata; reading it as an ordering of another program",
            stacklevel=3,
        )
        return {}
    metadata, version = ({}, (1, _DIGEST_SINCE)) if raw is None else _parse(raw, path)
    if version[0] != int(FORMAT_VERSION.split(".")[0]):
        raise ArtifactError(
            f"{path}: written in format {metadata['format_version']}, but this lightning_badge "
            f"reads format {FORMAT_VERSION}; install a matching release"
        )
    if is_ours or version[1] >= _DIGEST_SINCE:
        mend = f"{_MEND}; if another program changed it, remove its metadata"
        with one_line(path, f"{_EXPECTED} as it was written", ArtifactError, mend=mend):
            check_digest(table)
    return metadata


def _parse(raw: bytes, path: Path) -> tuple[dict[str, Any], tuple[int, int]]:
    """Returns metadata, and major and minor version."""
    try:
        metadata = json.loads(raw)
        if not isinstance(metadata, dict):
            raise TypeError("not an object")
        major, _, minor = str(metadata["format_version"]).partition(".")
        return metadata, (int(major), int(minor.partition(".")[0] or 0))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: expected a JSON object with format_version under the metadata key "
            f"{METADATA_KEY.decode()!r}, got {raw[:80]!r}"
        ) from error


def _check_columns(table: pa.Table, path: Path) -> None:
    for column in ("rank", "sample_id"):
        if column not in table.column_names:
            raise ArtifactError(
                f"{path}: expected columns rank and sample_id, got "
                f"{printable(', '.join(table.column_names))}"
            )
    fits = {
        "rank": (pa.types.is_integer, "integers"),
        "sample_id": (_is_id_type, "integers or strings"),
        "gain": (_is_number, "numbers"),
        "hallucinated_label": (pa.types.is_integer, "integers"),
        "confidence": (_is_number, "numbers"),
        "coverage": (_is_number, "numbers"),
    }
    for column, (predicate, expected) in fits.items():
        if column in table.column_names:
            kind = table.schema.field(column).type
            if not predicate(kind) and not pa.types.is_null(kind):
                raise ArtifactError(f"{path}: column {column}: expected {expected}, got {kind}")


def _is_id_type(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    )


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _check_rows(table: pa.Table, path: Path) -> None:
    """Checks the rows of a table that is sorted by rank."""
    if nulls := table["rank"].null_count:
        raise ArtifactError(f"{path}: column rank: expected a value in each row, got {nulls} nulls")
    if table["sample_id"].null_count:
        rank = table["sample_id"].is_null().to_pylist().index(True)
        raise ArtifactError(f"{path}: column sample_id, rank {rank}: expected a value, got null")
    ranks = table["rank"].to_numpy()
    if len(wrong := np.flatnonzero(ranks != np.arange(len(ranks)))):
        rank = int(wrong[0])
        raise ArtifactError(
            f"{path}: column rank: expected a row of rank {rank} (ranks count from 0 without gaps, "
            f"rows in any order), got {ranks[rank]}"
        )
    ids = table["sample_id"].to_pylist()
    if too_large := [sample_id for sample_id in ids if not _fits(sample_id)]:
        raise ArtifactError(
            f"{path}: column sample_id: expected integers below 2**63, got {name_ids(too_large)}; "
            "write larger ones as strings"
        )
    longest = max((len(sample_id) for sample_id in ids if isinstance(sample_id, str)), default=0)
    with one_line(path, "ids of samples", ArtifactError):
        check_limit("characters of a sample_id", longest, ID_LENGTH)
    if repeated := repeated_ids(np.array(ids, dtype=_id_dtype(table))):
        rank = len(ids) - 1 - ids[::-1].index(repeated[0])
        raise ArtifactError(
            f"{path}: column sample_id, rank {rank}: expected distinct ids, but "
            f"{name_ids(repeated)} came more than once"
        )


def _fits(sample_id: SampleId) -> bool:
    return isinstance(sample_id, str) or sample_id < 2**63


def _unknown(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Returns which values are unknown and written as null: NaN, or a negative label."""
    return np.isnan(values) if values.dtype.kind == "f" else values < 0


def _to_numpy(table: pa.Table, column: str, kind: pa.DataType, path: Path) -> npt.NDArray[Any]:
    unknown = np.nan if pa.types.is_floating(kind) else -1
    try:
        values: npt.NDArray[Any] = table[column].cast(kind).fill_null(unknown).to_numpy()
    except pa.ArrowInvalid as error:
        raise ArtifactError(f"{path}: column {column}: expected {kind} values ({error})") from error
    return values
