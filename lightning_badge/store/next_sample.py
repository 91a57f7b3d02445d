"""What is asked next: the samples of a round's query, in order, and who holds which of them.

Labelers of any kind use this module: one that answers in the process of the loop, a server in
another process, or a file that is exchanged. All of them see the same order, and none of them is
asked for more than the allowance, which the loop alone writes.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timezone
from typing import Any

from lightning_badge.labels import UNDO
from lightning_badge.ordering.ordering import Ordering
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.allowance import allow, allowed
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.consensus import is_model
from lightning_badge.store.gate import Gate, Purse
from lightning_badge.store.label_store import Cut, LabelStore
from lightning_badge.store.leases import annotator_of
from lightning_badge.store.offers import Answered, Offer, Progress
from lightning_badge.store.priorities import Described, Rule, columns_of, rules_in_force
from lightning_badge.store.query_samples import QuerySamples

__all__ = ["LEASE_SECONDS", "Answered", "Offer", "Progress", "Query"]

LEASE_SECONDS = 600.0


class Query:
    """The samples that a round asks for, in order.

    Samples whose annotators do not agree come first, then those of earlier queries that have not
    enough annotators yet, then the ordering; every third sample is one for validation, until these
    are answered. An answered sample is not offered again, unless its answer was undone or
    ``overlap`` asks for more annotators.

    Args:
        store: The label store.
        cut: The cut that the round's ordering was computed from.
        ordering: The ordering.
        classes: The classes of the run; None for classes without names.
        validation: Ids of validation samples, in the order in which to ask for them.
        overlap: Number of annotators that answer each sample.
        initial: Ids of samples whose label is known from the data.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(
        self,
        store: LabelStore,
        cut: Cut,
        ordering: Ordering,
        *,
        classes: ClassList | None = None,
        validation: Iterable[SampleId] = (),
        overlap: int = 1,
        initial: Iterable[SampleId] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self.clock = clock
        self.round = cut.round
        self.ordering = ordering
        self.classes = ClassList(store, None) if classes is None else classes
        self._samples = QuerySamples(
            store, cut, ordering, validation=validation, overlap=overlap, initial=initial
        )
        self._cut = cut
        self._gate = Gate(store)
        self._seen: object = self  # the latest change; none is equal to it
        self._rules: tuple[list[Rule], dict[str, dict[str, Any]]] = ([], {})

    def allow(self, labels: int | None) -> None:
        """Permits to hand out samples until the query has this many labels; for the loop alone.

        Args:
            labels: Number of labels, counted as in `Progress`; None for no limit.
        """
        with self.store.leases.transaction():
            edition = int(self.ordering.metadata.get("edition", 0))
            allow(self.store.changes, self.round, labels, edition=edition)

    def lease(
        self,
        session: str,
        count: int,
        *,
        annotator: str | None = None,
        seconds: float = LEASE_SECONDS,
        now: float | None = None,
    ) -> list[Offer]:
        """Hands out the next samples to a session, in one transaction.

        Samples that the session holds already are among them, with a new time. A lease ends when
        the sample needs no further answer, or when the session's annotator answers it.

        Args:
            session: The labeling session.
            count: Largest number of samples.
            annotator: Who will answer: gets no sample that they answered already.
            seconds: Time after which another session may get the samples.
            now: The time in seconds since 1970; None for the clock.
        """
        now = self.clock() if now is None else now
        with self.store.leases.transaction():
            return self._lease(session, count, annotator, now, seconds)

    def answer(
        self,
        session: str,
        answers: Sequence[NewAnswer],
        count: int,
        *,
        annotator: str,
        seconds: float = LEASE_SECONDS,
        now: float | None = None,
    ) -> Answered:
        """Commits answers of a session, ends their leases and hands out the next samples.

        All of it is one transaction. A sample whose answer is undone is leased to the session
        again, if nobody else holds it.

        Args:
            session: The labeling session.
            answers: Its answers; those that are refused do not concern the others.
            count: Largest number of samples to hand out, as in ``lease``.
            annotator: Who answers.
            seconds: As in ``lease``.
            now: As in ``lease``.
        """
        now = self.clock() if now is None else now
        try:
            with self.store.leases.transaction():
                outcomes = self.store.add_each(answers)
                new = [a for a, is_new in zip(answers, outcomes, strict=True) if is_new is True]
                self.store.leases.end(session, [answer.sample_id for answer in new])
                undone = [
                    answer.sample_id
                    for answer, outcome in zip(answers, outcomes, strict=True)
                    if answer.label is UNDO and not isinstance(outcome, str)
                ]
                offers = self._lease(session, count, annotator, now, seconds, again=undone)
        except BaseException:
            # Answers that were read back within the transaction are not committed.
            self._samples.forget()
            self._gate.spending.forget()
            raise
        return Answered(outcomes, offers)

    def release(self, session: str, sample_ids: Iterable[SampleId] | None = None) -> None:
        """Ends leases of a session, all of them if its labeler goes home."""
        self.store.leases.release(session, sample_ids)

    def peek(self, count: int) -> list[Offer]:
        """Returns the next samples without leasing them, as they are written to a file.

        Args:
            count: Largest number of samples, if the allowance does not limit it.
        """
        self.refresh()
        has_size = self.left() < math.inf
        if self._gate.is_over(self.clock()):
            return []
        most = self._samples.count if has_size else count
        return self._choose("", most, None, {}, self._gate.purse({}, {}))

    def guess(self, offer: Offer) -> str | None:
        """Returns the class that the model predicts for a sample; None if it is not known."""
        number, names = self.guess_at(offer.rank), self.classes.names()
        if number is None:
            return None
        return str(number) if names is None or number >= len(names) else names[number]

    def guess_at(self, rank: int | None) -> int | None:
        """Returns the number of the class that the model predicts; None if it is not known."""
        labels = self.ordering.hallucinated_label
        return None if rank is None or labels is None else int(labels[rank])

    def undecided(self) -> int:
        """Returns how many samples were answered and wait for a further annotator."""
        self.refresh()
        return len(self._samples.undecided())

    def refresh(self) -> None:
        """Takes in the answers, terms and priorities that were committed since the last call."""
        self._samples.refresh()
        self._gate.spending.refresh()
        if (newest := self.store.changes.newest()) != self._seen:
            self._seen = newest
            self._prioritise()

    def progress(self) -> Progress:
        """Returns what the query has received so far."""
        self.refresh()
        samples = self._samples
        return Progress(
            labels=len(samples.labeled),
            new_labels=len(samples.changed),
            is_exhausted=not samples.open_ranks,
            has_answers=samples.has_answers,
            received_at=samples.changed.values(),
            seconds=samples.seconds,
            money=float(self._gate.spending.total),
            arrivals=self.store.arrivals(self._cut),
            now=datetime.fromtimestamp(self.clock(), timezone.utc),
        )

    def published(self) -> set[SampleId]:
        """Returns the ranked samples that are leased or answered: their ranks never change."""
        self.refresh()
        leased = self.store.leases.unexpired(self.clock())
        answered = {sample_id for sample_id, _ in self._samples.answered}
        return (answered | leased.keys()) & self._samples.rank.keys()

    def origin(self, sample_id: SampleId, annotator: str) -> Offer:
        """Returns where a sample was offered to an annotator: in this query, or in an earlier one.

        Args:
            sample_id: Any sample.
            annotator: Who answers; a correction belongs to the round of the answer it corrects.
        """
        earlier = self._samples.answered.get((sample_id, annotator))
        if earlier is not None:
            return Offer(sample_id, earlier.round, earlier.rank)
        return Offer(sample_id, self.round, self.rank_of(sample_id))

    def rank_of(self, sample_id: SampleId) -> int | None:
        """Returns the rank of a sample in this ordering; None if it has none."""
        return self._samples.rank.get(sample_id)

    def left(self) -> float:
        """Returns how many further labels may be given; ``math.inf`` without a limit.

        That is what the allowance permits, as far as the money lasts and until the deadline.
        """
        self._gate.spending.refresh()
        return min(self._permitted(), self._gate.left(self.clock()))

    def closed(self) -> str | None:
        """Returns why the terms of the run permit no further label; None if they permit one."""
        self.refresh()
        return self._gate.closed(self.clock(), self._samples.open())

    def remains(self) -> str | None:
        """Returns what remains of money and time, as one line; None if nothing limits them."""
        self.refresh()
        return self._gate.remains()

    def _permitted(self) -> float:
        """Returns how many further labels the allowance permits."""
        facts = allowed(self.store.changes)
        if facts is None or facts["round"] != self.round:
            return 0  # the loop has published another query, or none
        labels = facts["labels"]
        return math.inf if labels is None else labels - len(self._samples.labeled)

    def may_count(self, sample_id: SampleId) -> bool:
        """Returns whether a label of a sample would be one more label of the query."""
        return self._samples.may_count(sample_id)

    def has_open(self) -> bool:
        """Returns whether any sample needs an answer, whatever the allowance is."""
        return next(self._samples.open(), None) is not None

    def has_answered(self, sample_id: SampleId, annotator: str) -> bool:
        """Returns whether an annotator answered a sample, even if the answer was undone."""
        return (sample_id, annotator) in self._samples.answered

    def _lease(
        self,
        session: str,
        count: int,
        annotator: str | None,
        now: float,
        seconds: float,
        again: Collection[SampleId] = (),
    ) -> list[Offer]:
        self.refresh()
        samples = self._samples
        leases = self.store.leases.unexpired(now)
        held = {
            sample_id: at_work
            for sample_id, sessions in leases.items()
            if samples.is_open(sample_id)
            if (at_work := self._at_work(sample_id, sessions))
        }
        if self._gate.is_over(now):
            own = [key for key, sessions in held.items() if session in sessions]
            return self._offers(sorted(own, key=samples.turn)[: max(count, 0)])
        purse = self._gate.purse(leases, {key: samples.votes_on(key) for key in leases})
        who = annotator or annotator_of(session)
        for sample_id in filter(samples.is_open, again):
            if sample_id not in held and purse.pays(sample_id, who):
                held[sample_id] = {session}
        offers = self._choose(session, count, annotator, held, purse)
        given = [offer.sample_id for offer in offers]
        self.store.leases.grant(session, given, now=now, expires_at=now + seconds)
        return offers

    def _prioritise(self) -> None:
        """Takes in the rules in force, if they are others than before."""
        changes = self.store.changes
        rules = rules_in_force(changes)
        columns = columns_of(changes, rules)
        if (rules, columns) != self._rules:
            self._rules = rules, columns
            self._samples.prioritise(rules, Described(self._guess_of, columns))

    def _guess_of(self, sample_id: SampleId) -> str | None:
        return self.guess(Offer(sample_id, self.round, self.rank_of(sample_id)))

    def _at_work(self, sample_id: SampleId, sessions: set[str]) -> set[str]:
        votes = self._samples.votes_on(sample_id)
        if not votes:
            return sessions
        return {session for session in sessions if annotator_of(session) not in votes}

    def _choose(
        self,
        session: str,
        count: int,
        annotator: str | None,
        held: dict[SampleId, set[str]],
        purse: Purse,
    ) -> list[Offer]:
        """Returns the next samples for a session, given who holds which of the open ones.

        Those that the session holds come before others, within ``count``.
        """
        samples = self._samples
        own = [sample_id for sample_id, sessions in held.items() if session in sessions]
        chosen = sorted(own, key=samples.turn)[: max(count, 0)]
        permitted = self._permitted() - sum(map(samples.may_count, held))
        if annotator is not None and is_model(annotator):
            # What people will decide counts for the query: a model answers no others instead.
            waiting = (key for key in samples.undecided() if key not in held)
            permitted -= sum(map(samples.may_count, waiting))
        who = annotator or annotator_of(session) or None
        for sample_id in samples.open():
            if len(chosen) >= count or permitted <= 0 or purse.is_empty(who):
                break
            sessions = held.get(sample_id, ())
            if len(sessions) >= samples.overlap:  # most of the first samples are held
                continue
            has_room = self._has_room(sample_id, session, annotator, sessions)
            if has_room and purse.pays(sample_id, who):
                permitted -= samples.may_count(sample_id)
                chosen.append(sample_id)
        return self._offers(sorted(chosen, key=samples.turn))

    def _offers(self, sample_ids: Iterable[SampleId]) -> list[Offer]:
        return [Offer(sample_id, self.round, self.rank_of(sample_id)) for sample_id in sample_ids]

    def _has_room(
        self, sample_id: SampleId, session: str, annotator: str | None, sessions: Collection[str]
    ) -> bool:
        """Returns whether a sample may be handed to one more session."""
        if self._samples.missing(sample_id) <= len(sessions):
            return False
        if annotator is None:
            return session not in sessions
        if not self._samples.may_answer(sample_id, annotator):
            return False
        votes = self._samples.votes_on(sample_id)
        return annotator not in votes and annotator not in map(annotator_of, sessions)
