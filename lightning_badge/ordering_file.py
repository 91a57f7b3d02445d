"""The ordering file: one Parquet table and one JSON value, all that callback and loop share.

Columns: ``rank`` int64 from 0, ``sample_id`` int64 or string, and where known ``gain`` float64,
``hallucinated_label`` int32, ``confidence`` float32, ``coverage`` float32. How the ordering came
about stands as JSON in the file's metadata under ``lightning_badge``. Any Parquet reader reads the
file; a file of somebody else's with ``rank`` and ``sample_id`` is an ordering too.
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
from lightning_badge.exceptions import ArtifactError
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import SampleId, SampleIds, is_str, name_ids, repeated_ids

FORMAT_VERSION = "1.0"
METADATA_KEY = b"lightning_badge"

# column -> (attribute of Ordering, type in the file)
_OPTIONAL = {
    "gain": ("gains", pa.float64()),
    "hallucinated_label": ("hallucinated_label", pa.int32()),
    "confidence": ("confidence", pa.float32()),
    "coverage": ("coverage", pa.float32()),
}


def write_ordering(ordering: Ordering, path: str | os.PathLike[str]) -> Path:
    """Writes an ordering so that a reader sees all of it or none, whatever happens meanwhile.

    Args:
        ordering: What to write.
        path: Where; missing folders are made.

    Returns:
        The path.
    """
    path = Path(path)
    table = ordering_table(ordering)
    with replacing(path) as temporary:
        pq.write_table(table, temporary)
    return path


def read_ordering(path: str | os.PathLike[str]) -> Ordering:
    """Reads and validates an ordering file.

    Args:
        path: A file that ``write_ordering`` wrote, or any Parquet file with the columns ``rank``
            and ``sample_id``.

    Raises:
        ArtifactError: No such file, a torn one, another format, or rows that are not an ordering;
            the message names file, column and first bad row.
    """
    path = Path(path)
    table = _read_table(path)
    metadata = _read_metadata(table, path)
    _check_columns(table, path)
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
        return {"rank", "sample_id"} <= set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError):
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
    schema_metadata = {METADATA_KEY: json.dumps(metadata).encode()}
    return pa.table(columns).replace_schema_metadata(schema_metadata)


def _versions() -> dict[str, str]:
    packages = ("lightning-badge", "lightning", "torch", "pyarrow")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _id_type(sample_ids: SampleIds) -> pa.DataType:
    return pa.string() if is_str(sample_ids) else pa.int64()


def _id_dtype(table: pa.Table) -> type[Any]:
    return np.int64 if pa.types.is_integer(table.schema.field("sample_id").type) else np.object_


def _read_table(path: Path) -> pa.Table:
    if not path.is_file():
        raise ArtifactError(f"{path}: expected an ordering file, but there is no such file")
    try:
        return pq.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ArtifactError(
            f"{path}: expected a Parquet ordering file, but it is torn or of another kind "
            f"({reason}); delete it and let the callback write it again"
        ) from error


def _read_metadata(table: pa.Table, path: Path) -> dict[str, Any]:
    raw = (table.schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        warn(
            f"{path}: no lightning_badge metadata, so it is read as somebody else's ordering",
            stacklevel=3,
        )
        return {}
    try:
        metadata = json.loads(raw)
        major = int(str(metadata["format_version"]).split(".")[0])
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: expected a JSON object with format_version under the metadata key "
            f"{METADATA_KEY.decode()!r}, got {raw[:80]!r}"
        ) from error
    if major != int(FORMAT_VERSION.split(".")[0]):
        raise ArtifactError(
            f"{path}: written in format {metadata['format_version']}, but this lightning_badge "
            f"reads format {FORMAT_VERSION}; install a matching release"
        )
    return dict(metadata)


def _check_columns(table: pa.Table, path: Path) -> None:
    for column in ("rank", "sample_id"):
        if column not in table.column_names:
            raise ArtifactError(
                f"{path}: expected columns rank and sample_id, got {', '.join(table.column_names)}"
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
    """Checks a table that is sorted by rank."""
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
    if repeated := repeated_ids(np.array(ids, dtype=_id_dtype(table))):
        rank = len(ids) - 1 - ids[::-1].index(repeated[0])
        raise ArtifactError(
            f"{path}: column sample_id, rank {rank}: expected each id once, but "
            f"{name_ids(repeated)} came more than once"
        )


def _fits(sample_id: SampleId) -> bool:
    return isinstance(sample_id, str) or sample_id < 2**63


def _unknown(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Returns where a column is null in the file: NaN here, or a negative label."""
    return np.isnan(values) if values.dtype.kind == "f" else values < 0


def _to_numpy(table: pa.Table, column: str, kind: pa.DataType, path: Path) -> npt.NDArray[Any]:
    unknown = np.nan if pa.types.is_floating(kind) else -1
    try:
        values: npt.NDArray[Any] = table[column].cast(kind).fill_null(unknown).to_numpy()
    except pa.ArrowInvalid as error:
        raise ArtifactError(f"{path}: column {column}: expected {kind} values ({error})") from error
    return values
