"""The append-only log of a run's answers: adding, checking and reading them."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from lightning_badge.durable.database import Database
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo, as_label
from lightning_badge.sample_ids import SampleId, as_sample_ids, name_ids
from lightning_badge.store.answer import (
    COLUMNS,
    Answer,
    NewAnswer,
    answer_of_row,
    as_columns,
    as_json,
    now,
)
from lightning_badge.store.changes import ChangeLog
from lightning_badge.store.consensus import LATEST, answers_in_force, check_consensus
from lightning_badge.store.leases import Leases
from lightning_badge.store.sample_log import SampleLog
from lightning_badge.store.schema import SCHEMA
from lightning_badge.store.spending import Prices

_WRITTEN = ", ".join(COLUMNS[1:])
_log = logging.getLogger(__name__)
Log = TypeVar("Log", bound="AnswerLog")


class AnswerLog:
    """The answers of a label store; see `LabelStore`.

    Attributes:
        changes: Other decisions of the run, such as the allowance of a round.
        leases: Samples that are handed to labeling sessions.
        samples: The samples of a run in which samples may arrive.
    """

    def __init__(self, path: str | Path, *, timeout_s: float = 5.0) -> None:
        self._database = Database(path, SCHEMA, error=LabelError, timeout_s=timeout_s)
        self.changes = ChangeLog(self._database)
        self.leases = Leases(self._database)
        self._prices = Prices(self.changes)
        self.samples = SampleLog(self._database)
        self._check: Callable[[SampleId, Label | Skip], str | None] | None = None
        self._refused: set[int] = set()

    def __enter__(self: Log) -> Log:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file; committed answers are safe without it."""
        self._database.close()

    @property
    def consensus(self) -> str:
        """Which of several annotators' answers is in force: one of `CONSENSUS`."""
        change = self.changes.last("consensus")
        return LATEST if change is None else str(change.facts["name"])

    def set_consensus(self, name: str) -> None:
        """Commits which of several annotators' answers is in force, from now on.

        Raises:
            LabelError: An unknown name.
        """
        if check_consensus(name) != self.consensus:
            self.changes.add("consensus", name=name)

    def accept_only(self, check: Callable[[SampleId, Label | Skip], str | None]) -> None:
        """Checks answers from now on: new ones are refused, stored ones are reported and ignored.

        Args:
            check: Returns why an answer cannot be used, or None if it can.
        """
        self._check = check

    def refusal(self, sample_id: SampleId, label: Label | Skip | Undo) -> str | None:
        """Returns why an answer cannot be used by the check of ``accept_only``; None if it can."""
        if self._check is None or isinstance(label, Undo):
            return None
        return self._check(sample_id, label)

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
            answer.check()
        ids: list[SampleId] = as_sample_ids((a.sample_id for a in given), unique=False).tolist()
        labels = [_plain(answer.label) for answer in given]
        for sample_id, label in zip(ids, labels, strict=True):
            if reason := self.refusal(sample_id, label):
                raise LabelError(f"{self._database.path}: {reason}; it is not stored")
        with self._database.transaction():
            self._check_type(ids)
            return sum(map(self._insert_or_raise, ids, labels, given))

    def add_each(self, answers: Iterable[NewAnswer]) -> list[bool | str]:
        """Adds answers that do not depend on each other; call it in a transaction of this store.

        Returns:
            For each answer, whether it is new (False if its ``request_id`` is in the log), or why
            it is refused.

        Raises:
            LabelError: The store cannot be read or written.
        """
        return [self._add_one(answer) for answer in answers]

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
        answers = self._accepted(self._answers("answer_id <= ?", up_to))
        return answers_in_force(answers, self.consensus)

    def answers(self, round: int | None = None) -> list[Answer]:
        """Returns all answers in the order of commits, or only those of one round."""
        return self._answers("round = ?", round)

    def answers_to(self, sample_id: SampleId) -> list[Answer]:
        """Returns all answers to a sample in the order of commits."""
        return self._answers("sample_id = ?", sample_id)

    def last_answer_id(self) -> int:
        """Returns the ``answer_id`` of the latest answer; 0 without any."""
        ((last,),) = self._database.read("SELECT coalesce(max(answer_id), 0) FROM answers")
        return int(last)

    def usable_answers(self, *, after: int) -> list[Answer]:
        """Returns the answers behind an ``answer_id`` that can be used, in the order of commits."""
        return self._accepted(self._answers("answer_id > ?", after))

    def all_answers(self, *, after: int) -> list[Answer]:
        """Returns the answers behind an ``answer_id``, usable or not, in the order of commits."""
        return self._answers("answer_id > ?", after)

    def answer_of(self, answer_id: int) -> Answer | None:
        """Returns an answer by its ``answer_id``; None if there is none."""
        found = self._answers("answer_id = ?", answer_id)
        return found[0] if found else None

    def _add_one(self, given: NewAnswer) -> bool | str:
        try:
            given.check()
            (sample_id,) = as_sample_ids([given.sample_id], unique=False).tolist()
            label = _plain(given.label)
        except LabelError as error:
            return str(error)
        self._check_type([sample_id])
        reason = self.refusal(sample_id, label)
        return reason or self._insert(sample_id, label, given)

    def _insert_or_raise(
        self, sample_id: SampleId, label: Label | Skip | Undo, given: NewAnswer
    ) -> bool:
        outcome = self._insert(sample_id, label, given)
        if isinstance(outcome, str):
            raise LabelError(f"{self._database.path}: {outcome}")
        return outcome

    def _insert(
        self, sample_id: SampleId, label: Label | Skip | Undo, given: NewAnswer
    ) -> bool | str:
        """Returns whether an answer is new, or why it contradicts the log."""
        status, text = as_columns(label)
        if stored := self._of_request(given):
            if stored == [(sample_id, given.annotator, status, text)]:
                return False
            return (
                f"request_id {given.request_id!r} belongs to another answer, to sample "
                f"{stored[0][0]!r}; use a new id for each request"
            )
        before = self._of_annotator(sample_id, given.annotator)
        if label is UNDO and not before:
            return (
                f"{given.annotator!r} has not answered sample {sample_id!r}; there is nothing to "
                "undo"
            )
        of_round = [row[:2] for row in before if row[2] == given.round]
        is_repeated = of_round[-1:] == [(status, text)] and (
            label is UNDO or before[-1][0] != "undo"
        )
        if given.request_id is None and is_repeated:
            return False
        self._prices.refresh()
        cost = self._prices.cost(given, is_first=all(row[0] != "label" for row in before))
        self._database.write(
            f"INSERT INTO answers ({_WRITTEN}) VALUES ({', '.join('?' for _ in COLUMNS[1:])})",
            (
                *(sample_id, status, text, given.annotator, given.round, given.rank),
                *(given.seconds, given.request_id, now(), None if cost is None else float(cost)),
                None if given.guess is None else as_json(as_label(given.guess)),
            ),
        )
        return True

    def _of_request(self, given: NewAnswer) -> list[Any]:
        """Returns the stored answer with the same request id; empty if there is none."""
        if given.request_id is None:
            return []
        return self._database.read(
            "SELECT sample_id, annotator, status, label FROM answers WHERE request_id = ?",
            (given.request_id,),
        )

    def _of_annotator(self, sample_id: SampleId, annotator: str) -> list[Any]:
        return self._database.read(
            "SELECT status, label, round FROM answers WHERE (sample_id, annotator) = (?, ?) "
            "ORDER BY answer_id",
            (sample_id, annotator),
        )

    def _accepted(self, answers: list[Answer]) -> list[Answer]:
        reasons = {a.answer_id: self.refusal(a.sample_id, a.label) for a in answers}
        refused = {answer_id: reason for answer_id, reason in reasons.items() if reason}
        if new := refused.keys() - self._refused:
            self._refused |= new
            _log.warning(
                "%s: ignoring %d answers that cannot be used, such as answer %d: %s",
                *(self._database.path, len(new), min(new), refused[min(new)]),
            )
        return [answer for answer in answers if answer.answer_id not in refused]

    def _answers(self, where: str, value: SampleId | None) -> list[Answer]:
        rows = self._database.read(
            f"SELECT {', '.join(COLUMNS)} FROM answers "
            f"WHERE {'? IS NULL' if value is None else where} ORDER BY answer_id",
            (value,),
        )
        return [answer_of_row(row) for row in rows]

    def _check_type(self, ids: list[SampleId]) -> None:
        stored = self._database.read("SELECT sample_id FROM answers LIMIT 1")
        # With a check, the ids are known, and the store may hold a row of another type.
        if self._check is None and ids and stored and type(ids[0]) is not type(stored[0][0]):
            raise LabelError(
                f"{self._database.path}: expected sample ids of type "
                f"{type(stored[0][0]).__name__} like those in the store, got {name_ids(ids)}"
            )


def _plain(label: Any) -> Label | Skip | Undo:
    return label if isinstance(label, Skip | Undo) else as_label(label)
