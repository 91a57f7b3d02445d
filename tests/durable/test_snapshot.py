import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lightning_badge.durable.snapshot import snapshot
from lightning_badge.exceptions import LabelError

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
number = 0
while True:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO numbers VALUES (?)", (number,))
        connection.execute("INSERT INTO squares VALUES (?)", (number * number,))
    number += 1
    if number == 1:
        print("begun", flush=True)
    if number % 50 == 0:  # open and close, so that the log comes and goes
        connection.close()
        connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "a b#?.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (n)")
        connection.execute("CREATE TABLE squares (n)")
    return path


def rows(path: Path) -> tuple[list[int], list[int]]:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        numbers, squares = (
            [n for (n,) in connection.execute(f"SELECT n FROM {table} ORDER BY n")]
            for table in ("numbers", "squares")
        )
    return numbers, squares


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def copy_of(database: Path) -> Path:
    target = database.parent.parent / "copies" / "copy.db"
    snapshot(database, target, error=LabelError)
    assert [path.name for path in target.parent.iterdir()] == ["copy.db"]
    return target


def test_the_copy_of_a_closed_database_leaves_its_folder_as_it_is(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("INSERT INTO numbers VALUES (7)")
    before = contents(database.parent)
    assert list(before) == [database.name]
    assert rows(copy_of(database)) == ([7], [])
    assert contents(database.parent) == before


def test_the_copy_holds_what_is_only_in_the_log(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        with connection:
            connection.execute("INSERT INTO numbers VALUES (7)")
        connection.execute("INSERT INTO squares VALUES (49)")  # not committed
        before = contents(database.parent)
        assert len(before) == 3
        assert rows(copy_of(database)) == ([7], [])
        after = contents(database.parent)
        # Readers share the index of the log; the database and its log are unchanged.
        assert {name for name in before if before[name] != after[name]} <= {f"{database.name}-shm"}


def test_a_database_that_is_opened_during_the_copy_is_copied_again(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lightning_badge.durable.snapshot as module

    writer = closing(sqlite3.connect(database))
    backup = module._backup
    options: list[str] = []

    def slow_backup(source: Path, target: Path, of: str) -> None:
        backup(source, target, of)
        if not options:
            with writer.thing:
                writer.thing.execute("INSERT INTO numbers VALUES (7)")
        options.append(of)

    monkeypatch.setattr(module, "_backup", slow_backup)
    with writer:
        assert rows(copy_of(database)) == ([7], [])
    assert options == ["mode=ro&immutable=1", "mode=ro"]


@pytest.fixture
def writer(database: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", WRITER, str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def test_copies_during_writing_hold_whole_transactions(
    database: Path, writer: "subprocess.Popen[str]"
) -> None:
    counts = []
    for _ in range(30):
        numbers, squares = rows(copy_of(database))
        assert numbers == list(range(len(numbers)))
        assert squares == [n * n for n in numbers]
        counts.append(len(numbers))
    assert counts == sorted(counts)
    assert writer.poll() is None


@pytest.mark.parametrize("content", [None, b"not a database" * 100])
def test_what_is_no_database_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    source, target = tmp_path / "a.db", tmp_path / "b.db"
    if content is not None:
        source.write_bytes(content)
    target.write_text("an earlier copy")
    with pytest.raises(LabelError, match=r"a\.db: ") as caught:
        snapshot(source, target, error=LabelError)
    assert "\n" not in str(caught.value)
    assert target.read_text() == "an earlier copy"
    assert {path.name for path in tmp_path.iterdir()} <= {"a.db", "b.db"}
