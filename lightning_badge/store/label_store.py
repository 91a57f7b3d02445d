"""The label store: an append-only log of a run's answers in one SQLite file.

Labels cost money: once ``record`` returns, the answers are on disk, and no row is ever changed or
removed. The current label of a sample is computed from the log alone.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import as_plain
from lightning_badge.store.allowance import allow
from lightning_badge.store.answer import as_json, check_round, now
from lightning_badge.store.answer_log import AnswerLog


@dataclass(frozen=True)
class Cut:
    """The last answer that an attempt at a round trains on, and the last sample that it knows.

    The sample is 0 in a run in which none can arrive; see `SampleLog`.
    """

    round: int
    attempt: int
    last_answer_id: int
    last_sample: int = 0


@dataclass(frozen=True)
class FinishedRound:
    """A finished round with its query size and recorded facts."""

    round: int
    query_size: int
    facts: dict[str, Any]
    finished_at: datetime


class LabelStore(AnswerLog):
    """An append-only log of answers; a crash at any time loses no committed answer.

    The latest answer to a sample is in force: a later label replaces an earlier label or skip, and
    a later skip withdraws a label, for example if a reviewer finds the sample unusable. ``UNDO``
    withdraws what its annotator answered, so that the sample counts as not answered unless another
    annotator answered it. ``set_consensus`` chooses another rule for several annotators. All
    answers stay in the log. Each thread has its own connection. Other processes may read the file
    at any time; its view ``answers_in_force`` shows the latest answers.

    Args:
        path: The SQLite file; created if it does not exist.
        timeout_s: Seconds to wait for another process that is writing.

    Raises:
        LabelError: The file is not a label store, has a newer version, is locked or damaged, or
            cannot be opened. It is not changed.

    Example:
        >>> from lightning_badge import SKIP
        >>> with LabelStore(":memory:") as store:
        ...     store.record(0, [(7, "cat"), (3, SKIP)], annotator="radiologist")
        ...     store.labels(), store.skipped()
        2
        ({7: 'cat'}, [3])
    """

    def cut(
        self, round: int, *, up_to: int | None = None, allowed: tuple[int, int | None] | None = None
    ) -> Cut:
        """Commits the cut of a new attempt at a round: it trains on all answers until now.

        If the log holds answers to the round, its ordering was published. Then the cut of that
        ordering is returned, so that an ordering whose file was lost is computed again as it was.

        Args:
            round: The round.
            up_to: The ``answer_id`` that it trains up to; None for that of the latest answer.
            allowed: Round and labels of an allowance for the time of the training, which is
                committed with a new cut; None leaves it as it is.
        """
        check_round(round)
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
            last = self.last_answer_id() if up_to is None else up_to
            self._database.write(
                "INSERT INTO cuts SELECT ?, ?, ?, "
                "coalesce((SELECT max(sequence) FROM samples), 0), ?",
                (round, attempt, last, now()),
            )
            if allowed is not None:
                allow(self.changes, *allowed)
            return self.cuts(round)[-1]

    def answer_rows(self) -> list[tuple[Any, ...]]:
        """Returns what makes each answer, its ``answer_id`` first, as the file holds it."""
        return self._database.read(
            "SELECT answer_id, sample_id, status, label, annotator, round FROM answers "
            "ORDER BY answer_id"
        )

    def checkpoint(self) -> None:
        """Copies what is committed from the write-ahead log into the file, without waiting."""
        self._database.checkpoint()

    def cut_of(self, round: int, attempt: int) -> Cut | None:
        """Returns the cut of an attempt at a round; None if there is none."""
        return next((cut for cut in self.cuts(round) if cut.attempt == attempt), None)

    def cuts(self, round: int) -> list[Cut]:
        """Returns the cuts of all attempts at a round, in order."""
        rows = self._database.read(
            "SELECT round, attempt, last_answer_id, last_sample FROM cuts WHERE round = ? "
            "ORDER BY attempt",
            (round,),
        )
        return [Cut(*row) for row in rows]

    def arrivals(self, cut: Cut) -> int:
        """Returns how many samples arrived since a cut."""
        return self.samples.arrived_after(cut.last_sample)

    def newest_cut(self) -> Cut | None:
        """Returns the cut of the latest round that began; None before the first."""
        rows = self._database.read(
            "SELECT round, attempt, last_answer_id, last_sample FROM cuts "
            "ORDER BY round DESC, attempt DESC "
            "LIMIT 1"
        )
        return Cut(*rows[0]) if rows else None

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
        check_round(round)
        text = as_json(as_plain(facts, error=LabelError))
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
                values = (round, query_size, text, now())
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

    def _check_turn(self, round: int) -> None:
        if round != (turn := len(self.rounds())):
            raise LabelError(
                f"{self._database.path}: expected round {turn} to finish next, got round {round}"
            )
