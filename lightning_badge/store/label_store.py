"""The label store: an append-only log of a run's answers in one SQLite file.

Labels cost money: once ``record`` returns, the answers are on disk, and no row is ever changed or
removed. The current label of a sample is computed from the log alone.
"""

import json
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lightning_badge.durable.database import Database
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo, as_label, as_plain
from lightning_badge.sample_ids import SampleId, as_sample_ids, name_ids
from lightning_badge.store.answer import Answer, NewAnswer, answers_in_force
from lightning_badge.store.schema import SCHEMA

_COLUMNS = "sample_id, annotator, round, rank, seconds, request_id, received_at, answer_id"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """The last answer that an attempt at a round trains on."""

    round: int
    attempt: int
    last_answer_id: int


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
    a later skip withdraws a label, for example if a reviewer finds the sample unusable. ``UNDO``
    withdraws what its annotator answered, so that the sample counts as not answered unless another
    annotator answered it. All answers stay in the log. Each thread has its own connection. Other
    processes may read the file at any time; its view ``answers_in_force`` shows the answers in
    force.

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
        self._database = Database(path, SCHEMA, error=LabelError, timeout_s=timeout_s)
        self._check: Callable[[SampleId, Label | Skip], str | None] | None = None
        self._refused: set[int] = set()

    def __enter__(self) -> "LabelStore":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; committed answers are safe without it."""
        self._database.close()

    def accept_only(self, check: Callable[[SampleId, Label | Skip], str | None]) -> None:
        """Checks answers from now on: new ones are refused, stored ones are reported and ignored.

        Args:
            check: Returns why an answer cannot be used, or None if it can.
        """
        self._check = check

    def record(self, round: int, answers: Iterable[tuple[SampleId, Any]], *, annotator: str) -> int:
        """Commits the answers of one annotator to a round; see ``add``.

        Args:
            round: The round that asked, from 0; may be an earlier round than the current one.
            answers: Pairs of a sample id and a label, ``SKIP`` or ``UNDO``.
            annotator: Name of the annotator.

        Returns:
            The number of new answers.

        Raises:
            LabelError: As in ``add``.
        """
        # Before the transaction: the iterator may wait for a human.
        return self.add([NewAnswer(key, label, annotator, round) for key, label in answers])

    def add(self, answers: Iterable[NewAnswer]) -> int:
        """Commits a batch of answers in one transaction: all of them or none.

        To keep answers as they arrive, add each one separately. A batch may be sent again after a
        crash: an answer whose ``request_id`` is in the log is ignored, and so is one without an id
        that equals its annotator's latest answer to the sample in the same round.

        Returns:
            The number of new answers.

        Raises:
            LabelError: A value is not valid, an answer is refused by the check of
                ``accept_only``, the ids have another type than those in the store, a
                ``request_id`` belongs to another answer, or there is nothing to undo.
        """
        given = list(answers)
        for answer in given:
            _check_answer(answer)
        ids: list[SampleId] = as_sample_ids((a.sample_id for a in given), unique=False).tolist()
        labels = [a.label if isinstance(a.label, Skip | Undo) else as_label(a.label) for a in given]
        for sample_id, label in zip(ids, labels, strict=True):
            if reason := self._reason(sample_id, label):
                raise LabelError(f"{self._database.path}: {reason}; it is not stored")
        with self._database.transaction():
            self._check_type(ids)
            return sum(map(self._insert, ids, labels, given))

    def labels(self, *, up_to: int | None = None) -> dict[SampleId, Label]:
        """Returns the labels in force, by sample id, oldest answer first.

        Args:
            up_to: Use only answers up to this ``answer_id``, such as that of a cut; None for all.
        """
        in_force = self.in_force(up_to=up_to).values()
        return {a.sample_id: a.label for a in in_force if not isinstance(a.label, Skip | Undo)}

    def skipped(self, *, up_to: int | None = None) -> list[SampleId]:
        """Returns the samples whose answer in force is a skip, oldest answer first.

        Args:
            up_to: As in ``labels``.
        """
        return [a.sample_id for a in self.in_force(up_to=up_to).values() if a.label is SKIP]

    def in_force(self, *, up_to: int | None = None) -> dict[SampleId, Answer]:
        """Returns the answers in force, by sample id, oldest answer first.

        Args:
            up_to: As in ``labels``.
        """
        return answers_in_force(self._accepted(self._answers("answer_id <= ?", up_to)))

    def answers(self, round: int | None = None) -> list[Answer]:
        """Returns all answers in the order of commits, or only those of one round."""
        return self._answers("round = ?", round)

    def cut(self, round: int) -> Cut:
        """Commits the cut of a new attempt at a round: it trains on all answers until now.

        If the log holds answers to the round, its ordering was published. Then the cut of that
        ordering is returned, so that an ordering whose file was lost is computed again as it was.
        """
        _check_round(round)
        with self._database.transaction():
            ((first,),) = self._database.read(
                "SELECT min(answer_id) FROM answers WHERE round = ?", (round,)
            )
            published = [c for c in self.cuts(round) if first and c.last_answer_id < first]
            if published:
                return published[-1]
            ((attempt,),) = self._database.read(
                "SELECT coalesce(max(attempt) + 1, 0) FROM cuts WHERE round = ?", (round,)
            )
            self._database.write(
                "INSERT INTO cuts SELECT ?, ?, coalesce((SELECT max(answer_id) FROM answers), 0), "
                "coalesce((SELECT max(sequence) FROM samples), 0), ?",
                (round, attempt, _now()),
            )
            return self.cuts(round)[-1]

    def cuts(self, round: int) -> list[Cut]:
        """Returns the cuts of all attempts at a round, in order."""
        rows = self._database.read(
            "SELECT round, attempt, last_answer_id FROM cuts WHERE round = ? ORDER BY attempt",
            (round,),
        )
        return [Cut(*row) for row in rows]

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

    def _insert(self, sample_id: SampleId, label: Label | Skip | Undo, given: NewAnswer) -> bool:
        status = label.value if isinstance(label, Skip | Undo) else "label"
        text = None if isinstance(label, Skip | Undo) else _json(label)
        if given.request_id is not None:
            before = self._database.read(
                "SELECT sample_id, annotator, status, label FROM answers WHERE request_id = ?",
                (given.request_id,),
            )
            if before and before != [(sample_id, given.annotator, status, text)]:
                raise LabelError(
                    f"{self._database.path}: request_id {given.request_id!r} belongs to another "
                    f"answer, to sample {before[0][0]!r}; use a new id for each request"
                )
            if before:
                return False
        before = self._database.read(
            "SELECT status, label, round FROM answers WHERE (sample_id, annotator) = (?, ?) "
            "ORDER BY answer_id",
            (sample_id, given.annotator),
        )
        if label is UNDO and not before:
            raise LabelError(
                f"{self._database.path}: {given.annotator!r} has not answered sample "
                f"{sample_id!r}; there is nothing to undo"
            )
        of_round = [row[:2] for row in before if row[2] == given.round]
        is_repeated = of_round[-1:] == [(status, text)] and (
            label is UNDO or before[-1][0] != "undo"
        )
        if given.request_id is None and is_repeated:
            return False
        self._database.write(
            f"INSERT INTO answers ({_COLUMNS.removesuffix(', answer_id')}, status, label) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(sample_id, given.annotator, given.round, given.rank, given.seconds),
                *(given.request_id, _now(), status, text),
            ),
        )
        return True

    def _reason(self, sample_id: SampleId, label: Label | Skip | Undo) -> str | None:
        if self._check is None or isinstance(label, Undo):
            return None
        return self._check(sample_id, label)

    def _accepted(self, answers: list[Answer]) -> list[Answer]:
        reasons = {a.answer_id: self._reason(a.sample_id, a.label) for a in answers}
        refused = {answer_id: reason for answer_id, reason in reasons.items() if reason}
        if new := refused.keys() - self._refused:
            self._refused |= new
            _log.warning(
                "%s: ignoring %d answers that cannot be used, such as answer %d: %s",
                *(self._database.path, len(new), min(new), refused[min(new)]),
            )
        return [answer for answer in answers if answer.answer_id not in refused]

    def _answers(self, where: str, value: int | None) -> list[Answer]:
        rows = self._database.read(
            f"SELECT status, label, {_COLUMNS} FROM answers "
            f"WHERE {'? IS NULL' if value is None else where} ORDER BY answer_id",
            (value,),
        )
        return [_answer(*row) for row in rows]

    def _check_type(self, ids: list[SampleId]) -> None:
        stored = self._database.read("SELECT sample_id FROM answers LIMIT 1")
        # With a check, the ids are known, and the store may hold a row of another type.
        if self._check is None and ids and stored and type(ids[0]) is not type(stored[0][0]):
            raise LabelError(
                f"{self._database.path}: expected sample ids of type "
                f"{type(stored[0][0]).__name__} like those in the store, got {name_ids(ids)}"
            )

    def _check_turn(self, round: int) -> None:
        if round != (turn := len(self.rounds())):
            raise LabelError(
                f"{self._database.path}: expected round {turn} to finish next, got round {round}"
            )


def _answer(
    status: str,
    text: str | None,
    sample_id: SampleId,
    annotator: str,
    round: int,
    rank: int | None,
    seconds: float | None,
    request_id: str | None,
    at: str,
    answer_id: int,
) -> Answer:
    without_text: Skip | Undo = SKIP if status == "skip" else UNDO
    label = without_text if text is None else json.loads(text)
    received_at = datetime.fromisoformat(at)
    return Answer(
        sample_id, label, annotator, round, received_at, answer_id, rank, seconds, request_id
    )


def _check_answer(answer: NewAnswer) -> None:
    if not isinstance(answer.annotator, str) or not answer.annotator:
        raise LabelError(f"annotator: expected a name, got {answer.annotator!r}")
    _check_round(answer.round)
    seconds = answer.seconds
    if seconds is not None and not (math.isfinite(seconds) and seconds >= 0):
        raise LabelError(f"seconds: expected a finite number of at least 0, got {seconds!r}")


def _check_round(round: int) -> None:
    if not isinstance(round, int) or isinstance(round, bool) or round < 0:
        raise LabelError(f"round: expected an integer of at least 0, got {round!r}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
