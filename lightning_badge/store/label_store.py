"""The label store: an append-only log of a run's answers in one SQLite file.

Labels cost money: once ``record`` returns, the answers are on disk, and no row is ever changed or
removed. The current label of a sample is computed from the log alone.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lightning_badge.durable.database import Database, Schema
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, Label, Skip, as_label, as_plain
from lightning_badge.sample_ids import SampleId, as_sample_ids, name_ids

# answer_id grows with every insert, so the largest one of a sample is its latest answer.
_IN_FORCE = """
SELECT sample_id, label, annotator, round, received_at FROM answers
WHERE answer_id IN (SELECT max(answer_id) FROM answers {where} GROUP BY sample_id)
"""

_SCHEMA = Schema(
    name="label store",
    application_id=int.from_bytes(b"BADG", "big"),
    version=1,
    statements=(
        # sample_id has no column type, so SQLite does not convert: 7 and "7" are different ids.
        """
        CREATE TABLE answers (
            answer_id INTEGER PRIMARY KEY,
            sample_id NOT NULL CHECK (typeof(sample_id) IN ('integer', 'text')),
            status TEXT NOT NULL CHECK (status IN ('label', 'skip')),
            label TEXT CHECK ((label IS NULL) = (status = 'skip')),
            annotator TEXT NOT NULL,
            round INTEGER NOT NULL CHECK (round >= 0),
            received_at TEXT NOT NULL,
            UNIQUE (sample_id, annotator, round)
        )
        """,
        """
        CREATE TABLE rounds (
            round INTEGER PRIMARY KEY CHECK (round >= 0),
            query_size INTEGER NOT NULL CHECK (query_size >= 0),
            facts TEXT NOT NULL,
            finished_at TEXT NOT NULL
        )
        """,
        f"CREATE VIEW answers_in_force AS {_IN_FORCE.format(where='')}",
        # INSERT OR REPLACE removes a row without firing the DELETE triggers.
        """
        CREATE TRIGGER answers_refuse_replace BEFORE INSERT ON answers
        WHEN EXISTS (
            SELECT 1 FROM answers WHERE answer_id = NEW.answer_id
            OR (sample_id, annotator, round) = (NEW.sample_id, NEW.annotator, NEW.round)
        )
        BEGIN SELECT RAISE(ABORT, 'answers is append-only'); END
        """,
        *(
            f"CREATE TRIGGER {table}_refuse_{verb} BEFORE {verb} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            for table in ("answers", "rounds")
            for verb in ("update", "delete")
        ),
    ),
)


@dataclass(frozen=True)
class Answer:
    """An annotator's answer to one sample that a round asked for."""

    sample_id: SampleId
    label: Label | Skip
    annotator: str
    round: int
    received_at: datetime


@dataclass(frozen=True)
class FinishedRound:
    """A finished round with its query size and recorded facts."""

    round: int
    query_size: int
    facts: dict[str, Any]
    finished_at: datetime


class LabelStore:
    """An append-only log of answers; a crash at any time loses no committed answer.

    The latest answer to a sample is in force: a later label replaces an earlier label or skip, and
    a later skip withdraws a label, for example if a reviewer finds the sample unusable. All answers
    stay in the log. Other processes may read the file at any time; its view ``answers_in_force``
    shows the answers in force.

    Args:
        path: The SQLite file; created if it does not exist.
        timeout_s: Seconds to wait for another process that is writing.

    Raises:
        LabelError: The file is not a label store, has a newer version, is locked or damaged, or
            cannot be opened. It is not changed.

    Example:
        >>> with LabelStore(":memory:") as store:
        ...     store.record(0, [(7, "cat"), (3, SKIP)], annotator="radiologist")
        ...     store.labels(), store.skipped()
        2
        ({7: 'cat'}, [3])
    """

    def __init__(self, path: str | Path, *, timeout_s: float = 5.0) -> None:
        self._database = Database(path, _SCHEMA, error=LabelError, timeout_s=timeout_s)

    def __enter__(self) -> "LabelStore":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; committed answers are safe without it."""
        self._database.close()

    def record(self, round: int, answers: Iterable[tuple[SampleId, Any]], *, annotator: str) -> int:
        """Commits a batch of answers in one transaction: all of them or none.

        To keep answers as they arrive, record each one separately. Answers that are already in the
        log are ignored, so a batch may be sent again after a crash.

        Args:
            round: The round that asked, from 0; may be an earlier round than the current one.
            answers: Pairs of a sample id and a label or ``SKIP``.
            annotator: Name of the annotator.

        Returns:
            The number of new answers.

        Raises:
            LabelError: A value is not a valid label, the ids have another type than those in the
                store, or the log has a different answer for the same sample, annotator and round.
        """
        if not isinstance(annotator, str) or not annotator:
            raise LabelError(f"annotator: expected a name, got {annotator!r}")
        _check_round(round)
        pairs = list(answers)  # before the transaction: the iterator may wait for a human
        ids: list[SampleId] = as_sample_ids((pair[0] for pair in pairs), unique=False).tolist()
        labels = [None if label is SKIP else _json(as_label(label)) for _, label in pairs]
        with self._database.transaction():
            self._check_type(ids)
            return sum(
                self._insert(sample_id, label, annotator, round)
                for sample_id, label in zip(ids, labels, strict=True)
            )

    def labels(self, *, before_round: int | None = None) -> dict[SampleId, Label]:
        """Returns the labels in force, by sample id, oldest answer first.

        Args:
            before_round: Use only answers to earlier rounds, so that the result is the labels that
                this round began with, even if it already has answers; None for all answers.
        """
        in_force = self._in_force(before_round)
        return {a.sample_id: a.label for a in in_force if not isinstance(a.label, Skip)}

    def skipped(self, *, before_round: int | None = None) -> list[SampleId]:
        """Returns the samples whose answer in force is a skip, oldest answer first.

        Args:
            before_round: As in ``labels``.
        """
        return [a.sample_id for a in self._in_force(before_round) if a.label is SKIP]

    def answers(self, round: int | None = None) -> list[Answer]:
        """Returns all answers in the order of commits, or only those of one round."""
        rows = self._database.read(
            "SELECT sample_id, label, annotator, round, received_at FROM answers "
            "WHERE round = coalesce(?, round) ORDER BY answer_id",
            (round,),
        )
        return [_answer(row) for row in rows]

    def finish_round(self, round: int, *, query_size: int, **facts: Any) -> None:
        """Marks a round as finished, in its own transaction.

        A repeated call with the same arguments has no effect.

        Args:
            round: The first round that is not finished.
            query_size: Number of labels asked for.
            **facts: Small JSON values to store, such as the accuracy; a number that is not finite
                is stored as None.

        Raises:
            LabelError: Earlier rounds are not finished, or the round is already finished with
                other arguments.
        """
        _check_round(round)
        text = _json(as_plain(facts, error=LabelError))
        with self._database.transaction():
            before = self._database.read(
                "SELECT query_size, facts FROM rounds WHERE round = ?", (round,)
            )
            if before and before[0] != (query_size, text):
                raise LabelError(
                    f"{self._database.path}: round {round} was finished with query_size "
                    f"{before[0][0]} and {before[0][1]}, now got {query_size} and {text}; "
                    "a finished round cannot be changed"
                )
            if not before:
                self._check_turn(round)
                values = (round, query_size, text, _now())
                self._database.write("INSERT INTO rounds VALUES (?, ?, ?, ?)", values)

    def rounds(self) -> list[FinishedRound]:
        """Returns the finished rounds in order."""
        rows = self._database.read("SELECT * FROM rounds ORDER BY round")
        return [
            FinishedRound(round, query_size, json.loads(facts), datetime.fromisoformat(at))
            for round, query_size, facts, at in rows
        ]

    def finished_rounds(self) -> list[int]:
        """Returns the numbers of the finished rounds: 0, 1, ... without a gap."""
        return [finished.round for finished in self.rounds()]

    def _insert(self, sample_id: SampleId, label: str | None, annotator: str, round: int) -> bool:
        key = (sample_id, annotator, round)
        before = self._database.read(
            "SELECT label FROM answers WHERE (sample_id, annotator, round) = (?, ?, ?)", key
        )
        if not before:
            self._database.write(
                "INSERT INTO answers (sample_id, annotator, round, status, label, received_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*key, "skip" if label is None else "label", label, _now()),
            )
        elif before != [(label,)]:
            raise LabelError(
                f"{self._database.path}: sample {sample_id!r} was answered "
                f"{before[0][0] or SKIP} by {annotator!r} in round {round}, now got "
                f"{label or SKIP}; an answer cannot be changed: record the correction in a later "
                "round or under another annotator"
            )
        return not before

    def _check_type(self, ids: list[SampleId]) -> None:
        stored = self._database.read("SELECT sample_id FROM answers LIMIT 1")
        if ids and stored and type(ids[0]) is not type(stored[0][0]):
            raise LabelError(
                f"{self._database.path}: expected sample ids of type "
                f"{type(stored[0][0]).__name__} like those in the store, got {name_ids(ids)}"
            )

    def _check_turn(self, round: int) -> None:
        if round != (turn := len(self.rounds())):
            raise LabelError(
                f"{self._database.path}: expected round {turn} to finish next, got round {round}"
            )

    def _in_force(self, before_round: int | None) -> list[Answer]:
        where = "" if before_round is None else f"WHERE round < {before_round:d}"
        rows = self._database.read(f"{_IN_FORCE.format(where=where)} ORDER BY answer_id")
        return [_answer(row) for row in rows]


def _answer(row: tuple[SampleId, str | None, str, int, str]) -> Answer:
    sample_id, text, annotator, round, at = row
    label = SKIP if text is None else json.loads(text)
    return Answer(sample_id, label, annotator, round, datetime.fromisoformat(at))


def _check_round(round: int) -> None:
    if not isinstance(round, int) or isinstance(round, bool) or round < 0:
        raise LabelError(f"round: expected an integer of at least 0, got {round!r}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
