"""A SQLite database with a schema check on opening and explicit transactions.

It uses a write-ahead log and full synchronization: committed transactions survive a killed process
and a power failure, and other processes may read during a write.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_badge.durable.file import what_is_wrong
from lightning_badge.durable.schema_check import differences, objects_made_by, objects_of
from lightning_badge.exceptions import BadgeError


@dataclass(frozen=True)
class Schema:
    """The tables of a database, and the ids by which its file is recognized.

    Attributes:
        name: Name of the kind of file, for error messages.
        application_id: SQLite's ``application_id``, which identifies the kind of file.
        version: SQLite's ``user_version``: the newest schema version that can be opened.
        statements: SQL that creates the tables.
        migrations: SQL that turns the tables of an older version into those of the next version,
            by the older version.
    """

    name: str
    application_id: int
    version: int
    statements: Sequence[str]
    migrations: Mapping[int, Sequence[str]] = field(default_factory=dict)


# Pause between two attempts to open a file that another process is creating or migrating.
_PAUSE_S = 0.005
# What to do about a failure of the disk, by words of SQLite's message.
_REMEDIES = {
    "disk is full": "make room",
    "disk I/O error": "check the disk, and whether it is full",
    "readonly database": "make file and folder writable",
}


class Database:
    """A file that reports every SQLite failure in one line that names it.

    Each thread has its own connection, because transactions of two threads on one connection mix.
    A database in memory (``:memory:``) belongs to the thread that opened it.

    Args:
        path: The SQLite file; created if missing.
        schema: The expected schema.
        error: Exception class to raise.
        timeout_s: Seconds to wait for another process that is writing.

    Raises:
        BadgeError: A file of another kind or of a newer schema version, one with other tables,
            views or triggers, or one that cannot be opened, is locked, is damaged, or is a symbolic
            link. The file is not changed.
    """

    def __init__(
        self, path: str | Path, schema: Schema, *, error: type[BadgeError], timeout_s: float
    ) -> None:
        self.path = path
        self._schema = schema
        self._error = error
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._mutex = threading.Lock()
        self._is_closed = False
        self._refuse_links()
        with self._clear_errors():
            self._connect()
            try:
                self._open()
            except BaseException:
                self.close()
                raise

    def checkpoint(self) -> None:
        """Copies what is committed from the write-ahead log into the file.

        It does not wait: what an earlier transaction of another process still reads is copied
        later.
        """
        with self._clear_errors():
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Closes the connections of all threads; committed transactions are safe without it."""
        with self._mutex:
            self._is_closed = True
            for connection in self._connections.values():
                # The last process does this by itself. What fails stays in the write-ahead log.
                with suppress(sqlite3.Error):
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                connection.close()
            self._connections.clear()

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
        with self._clear_errors(), self._own_transaction():
            yield

    @property
    def _connection(self) -> sqlite3.Connection:
        """The connection of this thread."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is not None:
            return connection
        connection = self._connect()
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _connect(self) -> sqlite3.Connection:
        with self._mutex:
            if self._is_closed:
                raise sqlite3.ProgrammingError("it is closed")
            if self._connections and str(self.path) == ":memory:":
                raise sqlite3.ProgrammingError("a database in memory belongs to one thread")
            for thread in [t for t in self._connections if not t.is_alive()]:
                self._connections.pop(thread).close()
            connection = sqlite3.connect(
                self.path,
                timeout=self._timeout_s,
                isolation_level=None,  # this class begins and ends transactions itself
                check_same_thread=False,  # for close(), which another thread may call
            )
            connection.execute("PRAGMA trusted_schema = OFF")
            self._connections[threading.current_thread()] = connection
        self._local.connection = connection
        return connection

    def _open(self) -> None:
        # SQLite reports some conflicts of the switch to a write-ahead log at once, without the
        # connection's timeout.
        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return self._prepare()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE_S)

    def _prepare(self) -> None:
        ours, connection = self._schema, self._connection
        # One transaction, so that another process cannot create the tables between two reads.
        connection.execute("BEGIN")
        try:
            application_id, version = self._read_header()
            is_empty = self._is_empty()
            is_ours = (application_id, version <= ours.version) == (ours.application_id, True)
            verdict = self._fetch("PRAGMA quick_check(1)")[0][0] if is_ours else "ok"
            if is_ours and verdict == "ok" and version == ours.version:
                self._check_schema()
        finally:
            connection.execute("ROLLBACK")
        if is_empty:
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
        elif verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {' '.join(verdict.split())}")
        # Only after the checks, because these statements write to the file.
        if not is_empty and version < ours.version:
            self._migrate()
        if self._fetch("PRAGMA journal_mode") != [("wal",)]:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    def _migrate(self) -> None:
        with self._own_transaction():
            _, version = self._read_header()  # another process may have migrated it meanwhile
            for older in range(version, self._schema.version):
                for statement in self._schema.migrations[older]:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {self._schema.version}")
            self._check_schema()  # in the transaction: what was added to an older file is refused

    def _check_schema(self) -> None:
        expected = objects_made_by(tuple(self._schema.statements))
        if found := differences(objects_of(self._connection), expected):
            raise self._error(
                f"{self.path}: expected the tables of a {self._schema.name}, got "
                f"{', '.join(found)}; restore a backup, or drop what does not belong there"
            )

    def _refuse_links(self) -> None:
        for end in ("", "-wal", "-shm", "-journal"):
            path = Path(f"{self.path}{end}")
            if path.is_symlink():
                raise self._error(
                    f"{path}: expected a file, got {what_is_wrong(path)}; remove it, or restore a "
                    "backup"
                )

    def _create(self) -> None:
        with self._own_transaction():
            if not self._is_empty():  # another process created the tables meanwhile
                return
            for statement in self._schema.statements:
                self._connection.execute(statement)
            self._connection.execute(f"PRAGMA application_id = {self._schema.application_id}")
            self._connection.execute(f"PRAGMA user_version = {self._schema.version}")

    @contextmanager
    def _own_transaction(self) -> Iterator[None]:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def _read_header(self) -> tuple[int, int]:
        (application_id,), (version,) = (
            self._fetch(f"PRAGMA {name}")[0] for name in ("application_id", "user_version")
        )
        return application_id, version

    def _is_empty(self) -> bool:
        return self._read_header() == (0, 0) and not self._fetch("SELECT 1 FROM sqlite_master")

    def _fetch(self, query: str) -> list[Any]:
        return self._connection.execute(query).fetchall()

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
        for known, remedy in _REMEDIES.items():
            if known in reason:
                what = f"the {self._schema.name} could not be written ({reason})"
                return f"{what}; {remedy}, and run the same command again"
        return f"the {self._schema.name} failed: {reason}"
