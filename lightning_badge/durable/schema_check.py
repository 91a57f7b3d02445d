"""Whether a SQLite file has exactly the tables, indices, views and triggers that it should have.

A trigger can drop rows that are inserted, a view or a generated column can show others. So the
whole schema is compared, not only its version.
"""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import lru_cache
from typing import TypeAlias

# SQL in one spelling, by kind, name and table.
Objects: TypeAlias = Mapping[tuple[str, str, str], str]

_NAMED = 3
_LONGEST_NAME = 40


def objects_of(connection: sqlite3.Connection) -> Objects:
    """Returns what the schema of a file holds, without the statistics of ``ANALYZE``."""
    rows = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    return {
        (str(kind), str(name), str(table)): _plain(sql)
        for kind, name, table, sql in rows
        if not str(name).startswith("sqlite_stat")
    }


@lru_cache(maxsize=8)
def objects_made_by(statements: tuple[str, ...]) -> Objects:
    """Returns what the schema of a new file holds, given the SQL that makes it."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for statement in statements:
            connection.execute(statement)
        return objects_of(connection)


def differences(found: Objects, expected: Objects) -> Sequence[str]:
    """Describes in what a schema differs from the expected one; at most three differences.

    Example:
        >>> table, trigger = ("table", "a", "a"), ("trigger", "mute", "a")
        >>> differences({table: "x", trigger: "y"}, {table: "x"})
        ["also trigger 'mute'"]
    """
    described = [
        *(f"also {_named(key)}" for key in found if key not in expected),
        *(f"another {_named(key)}" for key in found if found[key] != expected.get(key, found[key])),
        *(f"no {_named(key)}" for key in expected if key not in found),
    ]
    more = len(described) - _NAMED
    return [*described[:_NAMED], *([f"{more} more differences"] if more > 0 else [])]


def _plain(sql: object) -> str:
    """Returns SQL without differences of white space."""
    return re.sub(r"\s*([(),])\s*", r"\1", " ".join(str(sql or "").split()))


def _named(key: tuple[str, str, str]) -> str:
    kind, name, _ = key
    return f"{kind[:_LONGEST_NAME]} {name[:_LONGEST_NAME]!r}"
