"""A SQLite database with a schema check on opening and explicit transactions.

It uses a write-ahead log and full synchronization: committed transactions survive a killed process
and a power failure, and other processes may read during a write.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_badge.exceptions import BadgeError


@dataclass(frozen=True)
class Schema:
    """The tables of a database, and the ids by which its file is recognized.

    Attributes:
        name: Name of the kind of file, for error messages.
        application_id: SQLite's ``application_id``, which identifies the kind of file.
        version: SQLite's ``user_version``: the newest schema version that can be opened.
        statements: SQL that creates the tables.
    """

    name: str
    application_id: int
    version: int
    statements: Sequence[str]


class Database:
    """A connection that reports every SQLite failure in one line that names the file.

    Args:
        path: The SQLite file; created if missing.
        schema: The expected schema.
        error: Exception class to raise.
        timeout_s: Seconds to wait for another process that is writing.

    Raises:
        BadgeError: A file of another kind or of a newer schema version, or one that cannot be
            opened, is locked, or is damaged. The file is not changed.
    """

    def __init__(
        self, path: str | Path, schema: Schema, *, error: type[BadgeError], timeout_s: float
    ) -> None:
        self.path = path
        self._schema = schema
        self._error = error
        with self._clear_errors():
            # isolation_level None: this class begins and ends transactions itself.
            self._connection = sqlite3.connect(path, timeout=timeout_s, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._connection.close()
                raise

    def close(self) -> None:
        """Closes the file; committed transactions are safe without it."""
        self._connection.close()

    def read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """Returns the rows of a query."""
        with self._clear_errors():
            return self._connection.execute(query, values).fetchall()

    def write(self, statement: str, values: Sequence[Any] = ()) -> None:
        """Executes one statement; call it inside ``transaction``."""
        with self._clear_errors():
            self._connection.execute(statement, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits at the end of the ``with`` block; an exception rolls everything back."""
        with self._clear_errors(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def _open(self) -> None:
        ours = self._schema
        application_id, version = self._read_header()
        if self._is_empty():
            self._create()
        elif application_id != ours.application_id:
            raise self._error(
                f"{self.path}: expected a {ours.name}, got a SQLite file of another program; "
                "choose another path"
            )
        elif version > ours.version:
            raise self._error(
                f"{self.path}: expected a {ours.name} of version {ours.version} or older, got "
                f"version {version}; upgrade lightning_badge"
            )
        elif (verdict := self.read("PRAGMA quick_check(1)")[0][0]) != "ok":
            raise sqlite3.DatabaseError(f"malformed: {' '.join(verdict.split())}")
        # Only after the checks, because both statements write to the file.
        self.write("PRAGMA journal_mode = WAL")
        self.write("PRAGMA synchronous = FULL")

    def _create(self) -> None:
        with self.transaction():
            if not self._is_empty():  # another process created the tables meanwhile
                return
            for statement in self._schema.statements:
                self.write(statement)
            self.write(f"PRAGMA application_id = {self._schema.application_id}")
            self.write(f"PRAGMA user_version = {self._schema.version}")

    def _read_header(self) -> tuple[int, int]:
        (application_id,), (version,) = (
            self.read(f"PRAGMA {name}")[0] for name in ("application_id", "user_version")
        )
        return application_id, version

    def _is_empty(self) -> bool:
        return self._read_header() == (0, 0) and not self.read("SELECT 1 FROM sqlite_master")

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeEncodeError) as error:
            raise self._error(f"{self.path}: {self._explain(str(error))}") from error

    def _explain(self, reason: str) -> str:
        if "locked" in reason:
            return f"another process is writing ({reason}); wait for it or stop it, then run again"
        if "not a database" in reason:
            return (
                f"expected a {self._schema.name}, got a file of another kind; choose another path"
            )
        if "malformed" in reason:
            return f"damaged ({reason}); restore a backup, or try `sqlite3 FILE .recover`"
        return f"the {self._schema.name} failed: {reason}"
