"""Columns of a file of rows, such as prices or cameras, by sample id."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_badge.app.environment import resolved
from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import printable


def column_of(config: Mapping[str, Any], table: str | Path | None, name: str) -> dict[str, Any]:
    """Returns a column of a file by sample id, as text.

    Args:
        config: The configuration of the run.
        table: A CSV, JSON Lines or Parquet file with the column ``sample_id``, or with the rows in
            the order of the data; None for the rows of ``data=folder``.
        name: The column.

    Raises:
        BadgeError: There is no such file or column.
    """
    from lightning_badge.datamodule.folder.rows import read_rows, row_file

    data: Mapping[str, Any] = resolved(config.get("data", {}))
    path = table or (data.get("path") if ".folder." in str(data.get("_target_")) else None)
    if path is None:
        raise BadgeError(
            f"column {name!r}: expected a file of rows, but the data of this run are none; name a "
            "CSV or Parquet file with sample_id (--table FILE, or budget.table=FILE)"
        )
    file = row_file(Path(path).expanduser())
    rows = read_rows(file, {"id": None if table else data.get("id_column")})
    if name not in rows.columns:
        raise BadgeError(
            f"{file}: expected a column {name!r}; there are "
            f"{printable(', '.join(rows.columns)) or 'none'}"
        )
    values = zip(rows.sample_ids, rows.columns[name], strict=True)
    return {str(sample_id): value for sample_id, value in values if value is not None}
