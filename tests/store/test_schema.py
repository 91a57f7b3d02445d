"""Stores of earlier versions are migrated, and end with the tables of a new store."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_log import read_run_log
from lightning_badge.store.schema import SCHEMA

DATA = Path(__file__).parent.parent / "data"


def of_version(version: int, path: Path) -> Path:
    """Writes a label store as an earlier version wrote it."""
    if version == 1:
        path.write_bytes((DATA / "run_v1" / "labels.db").read_bytes())
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript((DATA / "labels_v2.sql").read_text())
    return path


def columns(path: Path) -> dict[str, list[Any]]:
    """Returns names, types and constraints of the columns of all tables, and the triggers."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        found: dict[str, list[Any]] = {
            name: connection.execute(f"PRAGMA table_info({name})").fetchall() for (name,) in names
        }
        found["triggers and indices"] = connection.execute(
            "SELECT type, name FROM sqlite_master WHERE type <> 'table' ORDER BY name"
        ).fetchall()
        found["version"] = connection.execute("PRAGMA user_version").fetchall()
    return found


@pytest.mark.parametrize("version", range(1, SCHEMA.version))
def test_an_earlier_store_gets_the_tables_of_a_new_one(version: int, tmp_path: Path) -> None:
    LabelStore(tmp_path / "new.db").close()
    path = of_version(version, tmp_path / "labels.db")
    with LabelStore(path) as store:
        earlier = store.answers()
        assert earlier
        assert {answer.cost for answer in earlier} == {None}
    assert columns(path) == columns(tmp_path / "new.db")


def test_a_store_of_version_2_keeps_what_it_holds(tmp_path: Path) -> None:
    path = of_version(2, tmp_path / "labels.db")
    for _ in range(2):
        with LabelStore(path) as store:
            assert [(a.sample_id, a.seconds, a.request_id) for a in store.answers()] == [
                *(("a", 1.5, "r1"), ("b", None, None), ("c", None, None), ("b", None, None))
            ]
            assert (store.labels(), store.skipped()) == ({"a": 0}, ["c"])
            assert store.consensus == "majority"
            assert [cut.last_answer_id for round in (0, 1) for cut in store.cuts(round)] == [0, 2]
            assert store.finished_rounds() == [0]
    assert all(cut.made_at for cut in read_run_log(path).cuts)


def test_an_answer_carries_what_the_model_predicted(tmp_path: Path) -> None:
    path = of_version(2, tmp_path / "labels.db")
    with LabelStore(path) as store:
        store.add([NewAnswer("d", 0, "model:a", 1, guess=2), NewAnswer("e", 1, "ann", 1)])
        assert [answer.guess for answer in store.answers()[-2:]] == [2, None]


def test_an_answer_carries_what_it_cost(tmp_path: Path) -> None:
    path = of_version(2, tmp_path / "labels.db")
    with LabelStore(path) as store:
        store.add([NewAnswer("d", SKIP, "service", 1, cost=0.07), NewAnswer("e", 1, "ann", 1)])
        assert [answer.cost for answer in store.answers()[-2:]] == [0.07, None]
    with closing(sqlite3.connect(path)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(
            "INSERT INTO answers (sample_id, status, annotator, round, received_at, cost) "
            "VALUES ('f', 'skip', 'ann', 1, '', -1)"
        )


@pytest.mark.parametrize("cost", [-0.01, float("nan"), float("inf")])
def test_a_cost_that_is_no_amount_is_refused(cost: float) -> None:
    with LabelStore(":memory:") as store:
        with pytest.raises(LabelError, match=r"^cost: expected a finite number of at least 0"):
            store.add([NewAnswer(1, 0, "ann", 0, cost=cost)])
        assert store.answers() == []


@pytest.mark.parametrize("version", range(1, SCHEMA.version + 1))
def test_a_trigger_that_drops_answers_is_refused(version: int, tmp_path: Path) -> None:
    path = tmp_path / "labels.db"
    if version < SCHEMA.version:
        of_version(version, path)
    else:
        LabelStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TRIGGER mute BEFORE INSERT ON answers BEGIN SELECT RAISE(IGNORE); END"
        )
        connection.commit()
    if version == 1:  # its table is rebuilt, so the trigger is gone
        with LabelStore(path) as store:
            assert store.record(0, [(99999, 0)], annotator="ann") == 1
            assert store.answers()[-1].sample_id == 99999
        return
    before = path.read_bytes()
    with pytest.raises(LabelError, match="expected the tables of a label store, got also .*mute"):
        LabelStore(path)
    assert path.read_bytes() == before
