import sqlite3
from contextlib import closing
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
