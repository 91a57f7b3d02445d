"""Cells that several processes compute together: each once, each finished one safe on disk.

``results.parquet`` holds the rows of all finished cells. A cell that was finished since is a file
in ``parts/``; `Results.merge` puts it into the table. While a process computes a cell, it holds a
lock on one byte of ``claims``, which the operating system releases when the process ends, however
it ends.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from compare.plan import PlannedCell
from lightning_badge.durable.file import identity_of, replacing
from lightning_badge.exceptions import BadgeError

Rows = list[dict[str, Any]]

# Also the order of the rows.
IDENTITY = ("data", "model", "start", "batches", "end", "strategy", "arguments", "seed")
SCHEMA = pa.schema(
    [
        ("cell", pa.string()),
        *((name, pa.int64() if name in ("end", "seed") else pa.string()) for name in IDENTITY),
        ("round", pa.int64()),
        ("labels", pa.int64()),
        ("accuracy", pa.float64()),
        ("balanced_accuracy", pa.float64()),
        ("coverage", pa.float64()),
        ("seconds", pa.float64()),
    ]
)

# What results may depend on; the table says which versions were used.
PACKAGES = ("torch", "numpy", "scipy", "scikit-learn")
VERSIONS, CELLS = b"versions", b"cells"  # the second: of the whole experiment


class Results:
    """The finished cells in a folder, which several processes may use at once.

    Args:
        folder: The folder; created if missing.
    """

    def __init__(self, folder: Path) -> None:
        self.table_path, self._parts = folder / "results.parquet", folder / "parts"
        self._parts.mkdir(parents=True, exist_ok=True)
        # Not inherited by children. Closing it would release the locks of this process.
        self._claims = os.open(folder / "claims", os.O_RDWR | os.O_CREAT, 0o666)
        self._keys: set[str] = set()
        self._read: tuple[int, int] | None = None

    def is_finished(self, cell: PlannedCell) -> bool:
        """Returns whether the rows of a cell are on disk."""
        # In this order: `merge` writes the table before it removes parts.
        return self._part(cell.key).exists() or cell.key in self._keys_of_table()

    @contextmanager
    def claim(self, cell: PlannedCell) -> Iterator[bool]:
        """Yields whether this process may compute a cell: no other one does, and none has."""
        offset = int(cell.key, 16) >> 2  # a lock's offset is a signed number of 64 bits
        if not self._lock(offset, wait=False):
            yield False
            return
        try:
            yield not self.is_finished(cell)
        finally:
            self._unlock(offset)

    def add(self, cell: PlannedCell, rows: Rows) -> None:
        """Writes the rows of a cell."""
        with replacing(self._part(cell.key)) as temporary:
            pq.write_table(as_table(cell, rows), temporary)

    def take_over(self, table: pa.Table, cells: Iterable[PlannedCell]) -> None:
        """Puts those of the cells that are not finished, and that another table has, into ours."""
        keys = {cell.key for cell in cells if not self.is_finished(cell)}
        rows = table.filter(pc.is_in(table["cell"], pa.array(sorted(keys), pa.string())))
        if rows.num_rows:
            self._merge(rows)

    def merge(self) -> pa.Table:
        """Puts all finished cells into the table, and returns it."""
        return self._merge()

    def _merge(self, *others: pa.Table) -> pa.Table:
        self._lock(0, wait=True)
        try:
            paths = sorted(self._parts.glob("*.parquet"))
            parts = [pq.read_table(path, schema=SCHEMA) for path in paths]
            before = [stored(self.table_path)] if self.table_path.exists() else []
            table = _joined([*before, *others, *parts])
            if parts or others:
                versions = [versions_in(one) for one in (*before, *others)]
                versions += [_versions_now()] if parts else []
                table = table.replace_schema_metadata({VERSIONS: _all_of(versions)})
                with replacing(self.table_path) as temporary:
                    pq.write_table(table, temporary, compression="zstd")
            for path in paths:
                path.unlink()
            return table
        finally:
            self._unlock(0)

    def _keys_of_table(self) -> set[str]:
        identity = identity_of(self.table_path)
        if identity != self._read:
            self._keys = set(stored(self.table_path)["cell"].to_pylist()) if identity else set()
            self._read = identity
        return self._keys

    def _part(self, key: str) -> Path:
        return self._parts / f"{key}.parquet"

    def _lock(self, offset: int, *, wait: bool) -> bool:
        import fcntl

        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, offset)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock(self, offset: int) -> None:
        import fcntl

        fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, offset)


def _joined(tables: Iterable[pa.Table]) -> pa.Table:
    known: set[str] = set()
    distinct = []
    for table in tables:  # a process may have been killed between table and parts
        keys = set(table["cell"].to_pylist())
        again = pa.array(sorted(keys & known), pa.string())
        distinct.append(table.filter(pc.invert(pc.is_in(table["cell"], again))))
        known |= keys
    joined = pa.concat_tables(distinct) if distinct else SCHEMA.empty_table()
    return joined.sort_by([(name, "ascending") for name in (*IDENTITY, "labels")])


def _versions_now() -> str:
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


def _all_of(versions: Iterable[str]) -> str:
    """Returns the versions of several tables, each once, the first ones first."""
    each = (one for text in versions for one in text.split("; ") if one)
    return "; ".join(dict.fromkeys(each))


def as_table(cell: PlannedCell, rows: Rows) -> pa.Table:
    """Returns the rows of a cell as a table, with the columns that identify it."""
    identity = {"cell": cell.key, **asdict(cell)}
    return pa.Table.from_pylist([identity | row for row in rows], schema=SCHEMA)


def work(
    cells: Iterable[PlannedCell], results: Results, compute: Callable[[PlannedCell], Rows]
) -> Iterator[tuple[PlannedCell, Exception | None]]:
    """Computes the cells that are not finished and that no other process computes.

    Yields:
        Each computed cell, with the exception if it failed.
    """
    for cell in cells:
        if results.is_finished(cell):
            continue
        with results.claim(cell) as is_ours:
            if not is_ours:
                continue
            failed: Exception | None = None
            try:
                results.add(cell, compute(cell))
            except Exception as error:  # the other cells are still worth computing
                failed = error
        yield cell, failed


def versions_in(table: pa.Table) -> str:
    """Returns the versions of packages that a merged table names."""
    return str((table.schema.metadata or {}).get(VERSIONS, b"").decode())


def of_cells(table: pa.Table, cells: int) -> pa.Table:
    """Returns a merged table that also names the number of cells of the whole experiment."""
    metadata = table.schema.metadata or {}
    return table.replace_schema_metadata(metadata | {CELLS: str(cells).encode()})


@dataclass(frozen=True)
class Counted:
    """How much of an experiment a table has.

    Attributes:
        finished: Number of cells in the table.
        planned: Number of cells of the experiment; None if the table does not name it.
        hours: What the finished ones took, in one process each.
    """

    finished: int
    planned: int | None
    hours: float

    @property
    def are_all(self) -> bool:
        """Whether nothing is known to be missing."""
        return self.planned is None or self.finished >= self.planned

    def __str__(self) -> str:
        whole = "" if self.are_all else f" of {self.planned:,}"
        return f"{self.finished:,}{whole}"


def cells_in(table: pa.Table) -> Counted:
    """Returns how many cells a table has, and how long they took."""
    seconds = table.group_by("cell").aggregate([("seconds", "max")])["seconds_max"]
    planned = (table.schema.metadata or {}).get(CELLS)
    hours = sum(seconds.to_pylist()) / 3600
    return Counted(len(seconds), int(planned) if planned else None, hours)


def stored(path: Path) -> pa.Table:
    """Returns a table of finished cells that is on disk.

    Raises:
        BadgeError: Another file.
    """
    try:
        # With a schema, pyarrow leaves out the metadata.
        metadata = pq.read_schema(path).metadata
        return pq.read_table(path, schema=SCHEMA).replace_schema_metadata(metadata)
    except pa.ArrowException as error:
        raise BadgeError(f"{path}: expected a table of finished cells, got: {error}") from error
