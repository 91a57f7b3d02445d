"""The calls of labeling sessions: who gets which sample, and what was answered.

A `SessionCalls` is used by one thread. It needs no HTTP: bodies and results are plain JSON values.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.page.calls import (
    CallError,
    GivenAnswer,
    answers_of,
    comment_of,
    key_of,
    labeler_of,
    released_of,
    tab_of,
    want_of,
)
from lightning_badge.labelers.page.open_run import OpenRun
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.leases import session_of
from lightning_badge.store.next_sample import Answered, Query

LEASE_SECONDS = 60.0
_MOST_CLASSES = 1000
_log = logging.getLogger(__name__)


class SessionCalls:
    """Answers the calls of labeling sessions to a run.

    Args:
        run: The run, once its files are whole.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(self, run: OpenRun, *, clock: Callable[[], float] = time.time) -> None:
        self._run = run
        self._clock = clock

    def open(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns what concerns the whole run, and leases the first samples."""
        run, page = self._run, self._run.page
        labeler, tab, want = labeler_of(body), tab_of(body), want_of(body)
        query = run.refresh()
        items = self._lease(query, session_of(labeler, tab), labeler, want)
        return {
            "title": page.title,
            "kind": page.kind,
            "classes": list(run.class_names()),
            "multilabel": page.multilabel,
            "accept_changes": page.accept_changes,
            "guess": page.guess,
            "overlap": page.overlap,
            "guidelines": page.guidelines,
            "examples": run.examples(),
            "lease_seconds": LEASE_SECONDS,
            "items": items,
            "progress": run.progress(labeler),
        }

    def next(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Leases samples, after a session gave some back."""
        labeler, tab, want = labeler_of(body), tab_of(body), want_of(body)
        released = [self._run.samples.id_of(key) for key in released_of(body)]
        query, session = self._run.refresh(), session_of(labeler, tab)
        known = [sample_id for sample_id in released if sample_id is not None]
        if known:
            self._run.store.leases.release(session, known)
        items = self._lease(query, session, labeler, want)
        return {"items": items, "progress": self._run.progress(labeler)}

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Commits answers and leases the next samples, in one transaction."""
        labeler, tab, want = labeler_of(body), tab_of(body), want_of(body)
        given = answers_of(body)
        query, session = self._run.refresh(), session_of(labeler, tab)
        refused, accepted = [], []
        for answer in given:
            try:
                accepted.append((answer, self._new_answer(answer, labeler, query)))
            except CallError as error:
                refused.append({"request": answer.request, "reason": str(error)})
        answered = self._commit(query, session, labeler, [new for _, new in accepted], want)
        confirmed = []
        for (answer, _), outcome in zip(accepted, answered.outcomes, strict=True):
            if isinstance(outcome, str):
                refused.append({"request": answer.request, "reason": outcome})
            else:
                confirmed.append(answer.request)
        return {
            "items": [self._run.item(offer, query) for offer in answered.offers],
            "progress": self._run.progress(labeler),
            "confirmed": confirmed,
            "refused": refused,
        }

    def flag(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Commits a comment on a sample; one that is sent again counts once."""
        labeler, comment = labeler_of(body), comment_of(body)
        sample_id = self._sample(key_of(body))
        facts = {"sample_id": sample_id, "annotator": labeler, "comment": comment}
        self._run.refresh()
        changes = self._run.store.changes
        if all(change.facts != facts for change in changes.of("flag")):
            changes.add("flag", **facts)
        return {"progress": self._run.progress(labeler)}

    def heartbeat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Prolongs the leases of a session."""
        labeler, session = labeler_of(body), session_of(labeler_of(body), tab_of(body))
        self._run.refresh()
        now = self._clock()
        self._run.store.leases.renew(session, now=now, expires_at=now + LEASE_SECONDS)
        return {"progress": self._run.progress(labeler)}

    def release(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Ends all leases of a session."""
        self._run.store.leases.release(session_of(labeler_of(body), tab_of(body)))
        return {}

    def _lease(
        self, query: Query | None, session: str, labeler: str, want: int
    ) -> list[dict[str, Any]]:
        if query is None or self._run.has_ended():
            return []
        offers = query.lease(
            session, want, annotator=labeler, seconds=LEASE_SECONDS, now=self._clock()
        )
        return [self._run.item(offer, query) for offer in offers]

    def _commit(
        self, query: Query | None, session: str, labeler: str, answers: list[NewAnswer], want: int
    ) -> Answered:
        if query is None:  # the ordering is being written again
            with self._run.store.leases.transaction():
                return Answered(self._run.store.add_each(answers), [])
        return query.answer(
            session,
            answers,
            0 if self._run.has_ended() else want,
            annotator=labeler,
            seconds=LEASE_SECONDS,
            now=self._clock(),
        )

    def _new_answer(self, given: GivenAnswer, labeler: str, query: Query | None) -> NewAnswer:
        sample_id = self._sample(given.key)
        newest = self._run.newest_round()
        if given.round > newest:
            raise CallError(f"round {given.round}: expected a round up to {newest}")
        label: Any = {"skip": SKIP, "undo": UNDO}.get(given.status, given.label)
        if given.new_class is not None:
            label = self._class(given.new_class)
        rank = given.rank
        if query is not None and given.round == query.round:
            rank = query.rank_of(sample_id)
        return NewAnswer(sample_id, label, labeler, given.round, rank, given.seconds, given.request)

    def _class(self, name: str) -> int:
        names = self._run.class_names()
        if name not in names and len(names) >= _MOST_CLASSES:
            raise CallError(f"new_class: there are {len(names)} classes, and no more are added")
        try:
            return self._run.classes.number(name)
        except LabelError as error:
            if self._run.page.accept_changes and not self._run.page.multilabel:
                raise  # the store failed
            raise CallError(str(error)) from error

    def _sample(self, key: str) -> SampleId:
        sample_id = self._run.samples.id_of(key)
        if sample_id is None:
            raise CallError(f"sample {key}: there is none with this key", 404)
        return sample_id
