import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_badge.durable.database import Database, Schema
from lightning_badge.exceptions import LabelError

SCHEMA = Schema(
    name="shelf",
    application_id=7,
    version=2,
    statements=("CREATE TABLE books (title TEXT NOT NULL)",),
)


def open_shelf(path: Path) -> "closing[Database]":
    return closing(Database(path, SCHEMA, error=LabelError, timeout_s=0.0))


def error_of_opening(path: Path) -> str:
    """Returns the one-line error of opening ``path``; checks that the file is not changed."""
    before = path.read_bytes()
    with pytest.raises(LabelError) as caught:
        open_shelf(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_committed_rows_are_read_after_reopening(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as shelf, shelf.transaction():
        shelf.write("INSERT INTO books VALUES (?)", ("Emma",))
    with open_shelf(tmp_path / "a.db") as shelf:
        assert shelf.read("SELECT title FROM books") == [("Emma",)]


def test_the_database_uses_a_write_ahead_log_and_full_synchronization(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as shelf:
        assert shelf.read("PRAGMA journal_mode") == [("wal",)]
        assert shelf.read("PRAGMA synchronous") == [(2,)]
        assert shelf.read("PRAGMA user_version") == [(2,)]


def test_an_exception_rolls_the_transaction_back(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as shelf:

        def add(*titles: str | None) -> None:
            with shelf.transaction():
                for title in titles:
                    shelf.write("INSERT INTO books VALUES (?)", (title,))

        with pytest.raises(LabelError, match=r"the shelf failed: NOT NULL"):
            add("Emma", None)
        with pytest.raises(LabelError, match=r"the shelf failed: .* surrogates not allowed"):
            add("Emma", "\udc80")
        assert shelf.read("SELECT * FROM books") == []


def test_a_full_disk_is_one_line_that_says_what_to_do(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "shelf.db") as shelf:
        shelf.read("PRAGMA max_page_count = 1")  # SQLite then fails as on a full disk
        full = pytest.raises(LabelError, match="disk is full.; make room, and run the same command")
        with full, shelf.transaction():
            shelf.write("INSERT INTO books VALUES (?)", ("long" * 10_000,))


def test_an_empty_file_of_a_killed_start_is_initialized(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.touch()
    with open_shelf(path) as shelf:
        assert shelf.read("SELECT * FROM books") == []


def test_two_connections_may_open_a_new_file(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as one, open_shelf(tmp_path / "a.db") as other:
        with one.transaction():
            one.write("INSERT INTO books VALUES ('Emma')")
        assert other.read("SELECT title FROM books") == [("Emma",)]


def test_a_file_that_is_not_sqlite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_text("sample_id,label\n" * 100)
    assert "expected a shelf, got a file of another kind" in error_of_opening(path)


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE books (title TEXT)")
    assert "a SQLite file of another program" in error_of_opening(path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_shelf(path):
        pass
    with closing(sqlite3.connect(path)) as newer:
        newer.execute("PRAGMA user_version = 3")
    assert "version 2 or older, got version 3; upgrade" in error_of_opening(path)


@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_file_is_an_error(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "a.db"
    with open_shelf(path) as shelf, shelf.transaction():
        for number in range(1000):
            shelf.write("INSERT INTO books VALUES (?)", (f"volume {number}",))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "a.db: damaged (" in error_of_opening(path)


def test_a_path_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"the shelf failed: unable to open database file"):
        open_shelf(tmp_path)


def test_a_file_locked_by_another_writer_is_an_error(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as one, open_shelf(tmp_path / "a.db") as other:
        with (
            one.transaction(),
            pytest.raises(LabelError, match=r"a\.db: another process is writing"),
            other.transaction(),
        ):
            pass
        with other.transaction():
            other.write("INSERT INTO books VALUES ('Emma')")


OPEN = """
import sys
from lightning_badge.store.label_store import LabelStore

print(flush=True)
sys.stdin.readline()
for path in sys.stdin.read().split():
    LabelStore(path).close()
"""


@pytest.mark.slow
def test_eight_processes_may_create_a_file_at_once(tmp_path: Path) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN], text=True, **pipes) for _ in range(8)
    ]
    for process in processes:
        process.stdout.readline()
    paths = "\n".join(str(tmp_path / f"{number}.db") for number in range(30))
    for process in processes:
        process.stdin.write("\n" + paths)
        process.stdin.close()
    errors = [process.stderr.read() for process in processes]
    for process in processes:
        process.wait()
        process.stdout.close()
        process.stderr.close()
    assert errors == [""] * 8


def test_threads_have_transactions_of_their_own(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as shelf:
        counts = []
        with shelf.transaction():
            shelf.write("INSERT INTO books VALUES ('Emma')")
            thread = threading.Thread(
                target=lambda: counts.extend(shelf.read("SELECT count(*) FROM books"))
            )
            thread.start()
            thread.join()
        assert counts == [(0,)]
        assert shelf.read("SELECT count(*) FROM books") == [(1,)]


def test_an_older_version_is_migrated_in_one_transaction(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_shelf(path) as shelf, shelf.transaction():
        shelf.write("INSERT INTO books VALUES ('Emma')")
    added = "ALTER TABLE books ADD COLUMN pages INTEGER"
    for steps, error in (([added, "SELECT * FROM nowhere"], "no such table"), ([added], None)):
        statements = (*SCHEMA.statements, added)
        newer = replace(SCHEMA, version=3, statements=statements, migrations={2: steps})
        if error:
            with pytest.raises(LabelError, match=error):
                Database(path, newer, error=LabelError, timeout_s=0.0)
        else:
            with closing(Database(path, newer, error=LabelError, timeout_s=0.0)) as shelf:
                assert shelf.read("SELECT * FROM books") == [("Emma", None)]
                assert shelf.read("PRAGMA user_version") == [(3,)]


@pytest.mark.parametrize("name", ["a.db", "a.db-wal", "a.db-shm", "a.db-journal"])
def test_a_link_in_place_of_a_file_is_refused_and_not_followed(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "elsewhere" / "precious"
    precious.parent.mkdir()
    with open_shelf(precious if name == "a.db" else tmp_path / "a.db"):
        pass
    before = precious.read_bytes() if precious.exists() else None
    (tmp_path / name).symlink_to(precious)
    with pytest.raises(LabelError, match=rf"{name}: expected a file, got a symbolic link"):
        open_shelf(tmp_path / "a.db")
    assert (precious.read_bytes() if precious.exists() else None) == before
    assert len(list(precious.parent.iterdir())) == (before is not None)


FOREIGN = {
    "trigger": "CREATE TRIGGER mute BEFORE INSERT ON books BEGIN SELECT RAISE(IGNORE); END",
    "view": "CREATE VIEW shown AS SELECT 'x' AS title",
    "index": "CREATE INDEX by_title ON books (title)",
    "table": "CREATE TABLE lent (title)",
    "column": "ALTER TABLE books ADD COLUMN loud TEXT AS (upper(title))",
    "rename": "ALTER TABLE books RENAME COLUMN title TO name",
    "missing": "DROP TABLE books",
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("is_older", [False, True])
def test_other_tables_triggers_and_columns_are_refused(
    tmp_path: Path, kind: str, is_older: bool
) -> None:
    path = tmp_path / "a.db"
    with open_shelf(path) as shelf, shelf.transaction():
        shelf.write("INSERT INTO books VALUES ('Emma')")
    with closing(sqlite3.connect(path)) as other:
        other.execute(FOREIGN[kind])
        if is_older:
            other.execute("PRAGMA user_version = 1")
        other.commit()
    before = path.read_bytes()
    schema = replace(SCHEMA, migrations={1: ()})
    with pytest.raises(LabelError, match=r"a\.db: expected the tables of a shelf, got ") as caught:
        Database(path, schema, error=LabelError, timeout_s=0.0)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_statistics_of_sqlite_are_no_foreign_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_shelf(path) as shelf, shelf.transaction():
        shelf.write("INSERT INTO books VALUES ('Emma')")
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE INDEX by_title ON books (title)")
        other.execute("ANALYZE")
        other.execute("DROP INDEX by_title")
    with open_shelf(path) as shelf:
        assert shelf.read("SELECT title FROM books") == [("Emma",)]


def test_functions_of_the_file_are_not_trusted(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as shelf:
        assert shelf.read("PRAGMA trusted_schema") == [(0,)]


def test_a_checkpoint_moves_what_is_committed_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with open_shelf(path) as shelf:
        with shelf.transaction():
            shelf.write("INSERT INTO books VALUES ('Emma')")
        shelf.checkpoint()
        alone = tmp_path / "alone.db"
        alone.write_bytes(path.read_bytes())
        with open_shelf(alone) as copy:
            assert copy.read("SELECT title FROM books") == [("Emma",)]


def test_a_reader_does_not_stop_a_checkpoint(tmp_path: Path) -> None:
    with open_shelf(tmp_path / "a.db") as shelf, open_shelf(tmp_path / "a.db") as reader:
        with reader.transaction():
            shelf.checkpoint()
        assert shelf.read("SELECT count(*) FROM books") == [(0,)]


def test_closing_copies_what_is_committed_although_another_process_goes_on(tmp_path: Path) -> None:
    path, alone = tmp_path / "a.db", tmp_path / "alone.db"
    with open_shelf(path) as other:
        assert other.read("SELECT title FROM books") == []
        with open_shelf(path) as shelf, shelf.transaction():
            shelf.write("INSERT INTO books VALUES ('Emma')")
        alone.write_bytes(path.read_bytes())
    with open_shelf(alone) as copy:
        assert copy.read("SELECT title FROM books") == [("Emma",)]
