"""A label store that was deleted, cut off from its log, or replaced by an older copy is noticed."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from loop_run import Killed, Run
from tiny import LIGHTNING_WARNINGS

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.labelers import DatasetLabelers
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.kept_answers import check_answers, set_aside_unknown
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.usefixtures("no_pictures")]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two rounds, and copies of its label store after the first and at the end."""
    run = Run(tmp_path_factory.mktemp("runs") / "run")
    run.go(max_rounds=1)
    shutil.copy(run.directory.labels_path, run.path / "round_0.db")
    run.go(max_rounds=2)
    return run.path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    return Run(Path(shutil.copytree(finished, tmp_path / "run")))


def delete(run: Run) -> None:
    run.directory.labels_path.unlink()


def empty(run: Run) -> None:
    run.directory.labels_path.write_bytes(b"")


def older(run: Run) -> None:
    shutil.copy(run.path / "round_0.db", run.directory.labels_path)


def another(run: Run) -> None:
    """Puts the store of a run with as many other answers in its place."""
    with closing(sqlite3.connect(run.directory.labels_path)) as connection:
        (sql,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'answers_refuse_update'"
        ).fetchone()
        connection.execute("DROP TRIGGER answers_refuse_update")
        connection.execute("UPDATE answers SET label = '2' WHERE answer_id = 1")
        connection.execute(sql)
        connection.commit()


@pytest.mark.parametrize(
    ("lose", "got"),
    [(delete, "none"), (empty, "none"), (older, "none"), (another, "other ones")],
)
def test_a_run_refuses_a_store_that_knows_less_than_its_rounds(
    run: Run, lose: Any, got: str
) -> None:
    lose(run)
    known = {p: p.read_bytes() for p in run.path.rglob("*.*") if "labels.db" not in p.name}
    with pytest.raises(RunDirectoryError) as caught:
        run.go(max_rounds=3)
    message = str(caught.value)
    assert f"labels.db: expected the 5 answers that round 1 was trained on, got {got}" in message
    assert "restore" in message
    assert "accept_loss=true" in message
    assert run.trained == []
    assert known == {p: p.read_bytes() for p in known}


def test_without_its_log_a_store_has_the_answers_of_the_rounds_before(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.labelers = StopsAt(run, 7)
    with pytest.raises(Killed):
        run.go(max_rounds=3)
    copy = Run(tmp_path / "copy")
    shutil.copytree(run.path, copy.path)
    for end in ("-wal", "-shm"):
        copy.directory.labels_path.with_name(f"labels.db{end}").unlink()
    copy.go(max_rounds=3)
    run.labelers = None
    run.go(max_rounds=3)
    assert copy.labels() == run.labels()


class StopsAt(DatasetLabelers):
    """Simulates a kill after some answers; the store is not closed, as by SIGKILL."""

    def __init__(self, run: Run, until_kill: int) -> None:
        super().__init__(run.datamodule().held_back_labels())
        self.run, self.until_kill = run, until_kill

    def collect(self) -> Iterator[list[NewAnswer]]:
        for batch in super().collect():
            if not self.until_kill:
                self._copy()
                raise Killed
            self.until_kill -= 1
            yield batch

    def _copy(self) -> None:
        """Keeps the files as they are now, because closing the store mends them."""
        path = self.run.path
        aside = path.with_name("killed")
        shutil.copytree(path, aside)
        self.run.path = aside


def test_the_log_is_in_the_file_when_a_round_ends(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.labelers = StopsAt(run, 7)
    with pytest.raises(Killed):
        run.go(max_rounds=3)
    alone = tmp_path / "alone.db"
    shutil.copy(run.directory.labels_path, alone)  # without its log
    with LabelStore(alone) as store:
        assert len(store.answers(0)) == 5
        assert store.finished_rounds() == [0]


def test_metrics_say_which_answers_they_rest_on(run: Run) -> None:
    facts = [json.loads(run.directory.metrics_path(n).read_text()) for n in range(2)]
    assert [it["answers"]["count"] for it in facts] == [0, 5]
    assert facts[0]["answers"]["digest"] != facts[1]["answers"]["digest"]


def test_a_run_of_an_earlier_version_goes_on_and_its_lost_store_is_noticed(run: Run) -> None:
    for round in range(2):
        path = run.directory.metrics_path(round)
        facts = json.loads(path.read_text())
        path.write_text(
            json.dumps({k: v for k, v in facts.items() if k not in ("answers", "files")})
        )
    run.go(max_rounds=2)
    assert run.trained == []
    older(run)
    with pytest.raises(RunDirectoryError, match="what round 1 was trained on, got nothing"):
        run.go(max_rounds=2)


def test_an_accepted_loss_keeps_the_rounds_aside_and_goes_on(run: Run) -> None:
    older(run)
    known = run.directory.metrics_path(1).read_bytes()
    with RunDirectory(run.path) as directory, LabelStore(directory.labels_path) as store:
        aside = set_aside_unknown(directory, store)
        assert aside == run.path / "rounds.lost-1"
        check_answers(directory, store)
        assert set_aside_unknown(directory, store) is None
    assert (aside / "001" / "metrics.json").read_bytes() == known
    run.go(max_rounds=2)
    assert run.trained == [11]


def test_answers_that_came_since_do_not_matter(run: Run) -> None:
    with LabelStore(run.directory.labels_path) as store:
        store.record(1, [(next(iter(set(range(60)) - set(store.labels()))), 0)], annotator="ann")
        check_answers(run.directory, store)


def test_an_ordering_without_a_cut_is_noticed(run: Run) -> None:
    delete(run)
    for round in range(2):
        run.directory.metrics_path(round).unlink()
    with pytest.raises(RunDirectoryError, match="what round 1 was trained on, got nothing"):
        run.go(max_rounds=2)


def test_a_folder_of_a_round_that_did_not_begin_is_no_loss(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "run") as directory:
        directory.clear_round(0)
        with LabelStore(directory.labels_path) as store:
            check_answers(directory, store)
