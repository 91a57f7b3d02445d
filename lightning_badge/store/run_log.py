"""What the label store of a run holds, read without changing the run."""

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from lightning_badge.durable.snapshot import snapshot
from lightning_badge.exceptions import LabelError
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.allowance import ended
from lightning_badge.store.answer import Answer
from lightning_badge.store.budget_changes import BUDGET
from lightning_badge.store.changes import Change
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.gate import Gate
from lightning_badge.store.label_store import FinishedRound, LabelStore
from lightning_badge.store.priorities import PRIORITIES, Rule, columns_of, rules_in_force
from lightning_badge.store.terms import Terms


@dataclass(frozen=True)
class Lease:
    """A sample that a labeling session holds until ``expires_at``."""

    sample_id: SampleId
    session: str
    expires_at: datetime


@dataclass(frozen=True)
class MadeCut:
    """The cut of an attempt at a round, and when its training began.

    Attributes:
        round: The round.
        attempt: The attempt.
        last_answer_id: The last answer that the attempt trains on.
        made_at: When the cut was committed; None in a run of an earlier version, which recorded
            no time.
    """

    round: int
    attempt: int
    last_answer_id: int
    made_at: datetime | None


@dataclass(frozen=True)
class RunLog:
    """The contents of a label store at one moment.

    Attributes:
        answers: All answers in the order of commits.
        in_force: The answer in force of each sample, oldest first.
        added_classes: Names of the classes that answers added.
        rounds: The finished rounds.
        cuts: The cuts of all attempts, in order.
        leases: All leases, expired ones too.
        changes: Changes of the budget and of priorities, in order.
        remains: What remains of money and time; None if nothing limits them.
        terms: What holds while labels are handed out.
        rules: The priorities in force.
        columns: The columns that they name, by sample id as text.
        ended: Why the budget ended the run; None if it did not, or the run goes on.
    """

    answers: list[Answer]
    in_force: dict[SampleId, Answer]
    added_classes: list[str]
    rounds: list[FinishedRound]
    cuts: list[MadeCut]
    leases: list[Lease]
    changes: list[Change] = field(default_factory=list)
    remains: str | None = None
    terms: Terms = field(default_factory=Terms)
    rules: list[Rule] = field(default_factory=list)
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    ended: str | None = None


def read_run_log(path: Path, *, prepare: Callable[[LabelStore], None] = lambda _: None) -> RunLog:
    """Reads a label store of any version while other processes may write to it.

    It reads a copy, because opening a store migrates it.

    Args:
        path: The file of the store.
        prepare: Is called with the copy before it is read, for example to set which answers the
            data accept.

    Raises:
        LabelError: The file cannot be read, or is not a label store.
    """
    with tempfile.TemporaryDirectory(prefix="lightning_badge_") as folder:
        copy = Path(folder) / path.name
        snapshot(path, copy, error=LabelError)
        # SQLite's milliseconds are truncated.
        began_at = datetime.now(timezone.utc) - timedelta(milliseconds=1)
        try:
            with LabelStore(copy) as store:
                prepare(store)
                added = ClassList(store, ()).names() or ()
                answers, rounds = store.answers(), store.rounds()
                in_force = store.in_force()
                changes = [it for kind in (BUDGET, PRIORITIES) for it in store.changes.of(kind)]
                gate, end = Gate(store), ended(store.changes)
                gate.spending.refresh()
                remains = gate.remains()
                rules = rules_in_force(store.changes)
                columns = columns_of(store.changes, rules)
        except LabelError as error:
            raise LabelError(str(error).replace(str(copy), str(path))) from error
        with closing(sqlite3.connect(copy)) as connection:
            cuts = connection.execute(
                "SELECT round, attempt, last_answer_id, made_at FROM cuts ORDER BY round, attempt"
            ).fetchall()
            leases = connection.execute(
                "SELECT sample_id, session, expires_at FROM leases ORDER BY expires_at"
            ).fetchall()
    finished_at = {finished.round: finished.finished_at for finished in rounds}
    return RunLog(
        answers,
        in_force,
        list(added),
        rounds,
        [
            MadeCut(round, attempt, last, _time_of_cut(made_at, finished_at.get(round), began_at))
            for round, attempt, last, made_at in cuts
        ],
        [
            Lease(sample_id, session, datetime.fromtimestamp(expires_at, timezone.utc))
            for sample_id, session, expires_at in leases
        ],
        sorted(changes, key=lambda change: change.change_id),
        remains,
        gate.terms,
        rules,
        columns,
        None if end is None or remains is None else str(end.facts["reason"]),
    )


def _time_of_cut(made_at: str, finished_at: datetime | None, began_at: datetime) -> datetime | None:
    """Returns when a cut was made; None if a migration made it, now or after its round's end."""
    made = datetime.fromisoformat(made_at)
    is_migrated = made >= began_at or (finished_at is not None and made > finished_at)
    return None if is_migrated else made


def read_samples(path: Path) -> tuple[list[SampleId], list[SampleId]]:
    """Returns the samples that a run began with, and those that arrived, from its label store.

    Both are empty where there is no store, or one of a run in which no samples can arrive.

    Raises:
        LabelError: The file cannot be read, or is not a label store.
    """
    if not path.is_file():
        return [], []
    with tempfile.TemporaryDirectory(prefix="lightning_badge_") as folder:
        copy = Path(folder) / path.name
        snapshot(path, copy, error=LabelError)
        try:
            with LabelStore(copy) as store:
                began_with = store.samples.began_with()
                return began_with, store.samples.ids(after=len(began_with))
        except LabelError as error:
            raise LabelError(str(error).replace(str(copy), str(path))) from error
