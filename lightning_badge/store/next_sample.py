"""What is asked next: the samples of a round's query, in order, and who holds which of them.

Labelers of any kind use this module: one that answers in the process of the loop, a server in
another process, or a file that is exchanged. All of them see the same order, and none of them is
asked for more than the allowance, which the loop alone writes.
"""

import math
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from lightning_badge.labels import SKIP, UNDO
from lightning_badge.ordering.ordering import Ordering
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer, NewAnswer, as_columns
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.consensus import answers_in_force, decide
from lightning_badge.store.label_store import Cut, LabelStore
from lightning_badge.store.leases import annotator_of
from lightning_badge.store.query_order import interleaved, unfinished

LEASE_SECONDS = 600.0
_ALLOWANCE = "allowance"


@dataclass(frozen=True)
class Offer:
    """A sample to label, with the round and the rank that offer it; validation has no rank."""

    sample_id: SampleId
    round: int
    rank: int | None


@dataclass(frozen=True)
class Answered:
    """What became of answers, and what their session holds now.

    Attributes:
        outcomes: For each answer, whether it is new, or why it is refused; see ``add_each``.
        offers: The samples that the session holds, in the order to show them.
    """

    outcomes: list[bool | str]
    offers: list[Offer]


@dataclass(frozen=True)
class Progress:
    """What a query has received so far.

    Attributes:
        labels: Ranked samples of this query whose label is in force.
        new_labels: Samples, other than validation samples, whose label is not the one of the cut.
        is_exhausted: Whether no ranked sample is left to ask for.
        has_answers: Whether any answer was received since the cut.
        received_at: When the new labels were received.
    """

    labels: int
    new_labels: int
    is_exhausted: bool
    has_answers: bool
    received_at: Collection[datetime]

    @property
    def oldest_s(self) -> float | None:
        """Seconds since the oldest of the new labels was received; None without any."""
        oldest = min(self.received_at, default=None)
        return None if oldest is None else (datetime.now(timezone.utc) - oldest).total_seconds()


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
    ) -> None:
        self.store = store
        self.round = cut.round
        self.ordering = ordering
        self.classes = ClassList(store, None) if classes is None else classes
        self._overlap = overlap
        self._consensus = store.consensus
        self._rank = {sample_id: rank for rank, sample_id in enumerate(ordering)}
        self._validation = frozenset(validation := list(validation))
        log = store.usable_answers(after=0)
        self._last_of_cut = cut.last_answer_id
        before = [answer for answer in log if answer.answer_id <= cut.last_answer_id]
        at_cut = answers_in_force(before, self._consensus)
        self._at_cut = {key: as_columns(answer.label) for key, answer in at_cut.items()}
        unanswered = (key for key in validation if key not in at_cut)
        others = [key for key in unfinished(before, overlap) if key not in self._rank]
        self._order: list[SampleId] = [*others, *interleaved(self._rank, unanswered)]
        self._place = {sample_id: place for place, sample_id in enumerate(self._order)}
        self._length = len(self._order)
        self._forget()
        self._take_in(log)

    def _forget(self) -> None:
        """Forgets all answers; the next ``refresh`` reads them anew."""
        for sample_id in self._order[self._length :]:
            del self._place[sample_id]
        del self._order[self._length :]
        self._first = 0  # all places before it are closed
        self._votes: dict[SampleId, dict[str, Answer]] = {}
        self._answered: dict[tuple[SampleId, str], Answer] = {}
        self._tied: set[SampleId] = set()
        self._labeled: set[SampleId] = set()
        self._changed: dict[SampleId, datetime] = {}
        self._open_ranks = len(self._rank)
        self._closed: set[SampleId] = set()
        self._seen = 0

    def allow(self, labels: int | None) -> None:
        """Permits to hand out samples until the query has this many labels; for the loop alone.

        Args:
            labels: Number of labels of ranked samples; None for no limit.
        """
        facts = {"round": self.round, "labels": labels}
        last = self.store.changes.last(_ALLOWANCE)
        if last is None or last.facts != facts:
            self.store.changes.add(_ALLOWANCE, **facts)

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
        now = time.time() if now is None else now
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
        now = time.time() if now is None else now
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
            self._forget()
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
        has_size = self._permitted() < math.inf
        return list(self._choose("", len(self._order) if has_size else count, None, {}))

    def guess(self, offer: Offer) -> str | None:
        """Returns the class that the model predicts for a sample; None if it is not known."""
        labels = self.ordering.hallucinated_label
        if offer.rank is None or labels is None:
            return None
        number, names = int(labels[offer.rank]), self.classes.names()
        return str(number) if names is None or number >= len(names) else names[number]

    def refresh(self) -> None:
        """Takes in the answers that were committed since the last call."""
        self._take_in(self.store.usable_answers(after=self._seen))

    def progress(self) -> Progress:
        """Returns what the query has received so far."""
        self.refresh()
        return Progress(
            labels=len(self._labeled),
            new_labels=len(self._changed),
            is_exhausted=not self._open_ranks,
            has_answers=self._seen > self._last_of_cut,
            received_at=self._changed.values(),
        )

    def origin(self, sample_id: SampleId, annotator: str) -> Offer:
        """Returns where a sample was offered to an annotator: in this query, or in an earlier one.

        Args:
            sample_id: Any sample.
            annotator: Who answers; a correction belongs to the round of the answer it corrects.
        """
        earlier = self._answered.get((sample_id, annotator))
        if earlier is not None:
            return Offer(sample_id, earlier.round, earlier.rank)
        return Offer(sample_id, self.round, self._rank.get(sample_id))

    def rank_of(self, sample_id: SampleId) -> int | None:
        """Returns the rank of a sample in this ordering; None if it has none."""
        return self._rank.get(sample_id)

    def left(self) -> float:
        """Returns how many further labels the allowance permits; ``math.inf`` without a limit."""
        return self._permitted()

    def has_open(self) -> bool:
        """Returns whether any sample needs an answer, whatever the allowance is."""
        return next(self._open(), None) is not None

    def has_answered(self, sample_id: SampleId, annotator: str) -> bool:
        """Returns whether an annotator answered a sample, even if the answer was undone."""
        return (sample_id, annotator) in self._answered

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
        held = {
            sample_id: open_sessions
            for sample_id, sessions in self.store.leases.unexpired(now).items()
            if sample_id in self._place and sample_id not in self._closed
            if (open_sessions := self._still_at_work(sample_id, sessions))
        }
        for sample_id in again:
            if sample_id in self._place and sample_id not in self._closed:
                held.setdefault(sample_id, {session})
        offers = list(self._choose(session, count, annotator, held))
        given = [offer.sample_id for offer in offers]
        self.store.leases.grant(session, given, now=now, expires_at=now + seconds)
        return offers

    def _still_at_work(self, sample_id: SampleId, sessions: set[str]) -> set[str]:
        votes = self._votes.get(sample_id, {})
        return {session for session in sessions if annotator_of(session) not in votes}

    def _choose(
        self, session: str, count: int, annotator: str | None, held: dict[SampleId, set[str]]
    ) -> list[Offer]:
        """Returns the next samples for a session, given who holds which of the open ones.

        Those that the session holds come before others, within ``count``.
        """
        own = [sample_id for sample_id, sessions in held.items() if session in sessions]
        chosen = sorted(own, key=self._turn)[: max(count, 0)]
        permitted = self._permitted() - sum(sample_id in self._rank for sample_id in held)
        for sample_id in self._open():
            if len(chosen) >= count or permitted <= 0:
                break
            if self._has_room(sample_id, session, annotator, held.get(sample_id, set())):
                permitted -= sample_id in self._rank
                chosen.append(sample_id)
        chosen.sort(key=self._turn)
        return [Offer(sample_id, self.round, self._rank.get(sample_id)) for sample_id in chosen]

    def _has_room(
        self, sample_id: SampleId, session: str, annotator: str | None, sessions: set[str]
    ) -> bool:
        """Returns whether a sample may be handed to one more session."""
        votes = self._votes.get(sample_id, {})
        if max(self._overlap - len(votes), sample_id in self._tied) <= len(sessions):
            return False
        if annotator is None:
            return session not in sessions
        return annotator not in votes and annotator not in map(annotator_of, sessions)

    def _turn(self, sample_id: SampleId) -> tuple[bool, int]:
        """Returns what open samples are sorted by."""
        is_first = sample_id in self._tied or self._place[sample_id] >= self._length
        return not is_first, self._place[sample_id]

    def _permitted(self) -> float:
        """Returns how many further ranked samples the allowance permits."""
        last = self.store.changes.last(_ALLOWANCE)
        if last is None or last.facts["round"] != self.round:
            return 0  # the loop has published another query, or none
        labels = last.facts["labels"]
        return math.inf if labels is None else labels - len(self._labeled)

    def _open(self) -> Iterator[SampleId]:
        """Yields the open samples: tied ones, ones undone since the cut, then all others."""
        reopened = (key for key in self._order[self._length :] if key not in self._closed)
        first = {*(self._tied & self._place.keys()), *reopened}
        yield from sorted(first, key=self._place.__getitem__)
        while self._first < self._length and self._order[self._first] in self._closed:
            self._first += 1
        for place in range(self._first, self._length):
            sample_id = self._order[place]
            if sample_id not in self._closed and sample_id not in self._tied:
                yield sample_id

    def _take_in(self, answers: list[Answer]) -> None:
        for answer in answers:
            self._seen = answer.answer_id
            self._answered[answer.sample_id, answer.annotator] = answer
            votes = self._votes.setdefault(answer.sample_id, {})
            votes[answer.annotator] = answer
            if answer.label is UNDO:
                del votes[answer.annotator]
        for sample_id in dict.fromkeys(answer.sample_id for answer in answers):
            self._decide(sample_id)

    def _decide(self, sample_id: SampleId) -> None:
        votes = self._votes[sample_id]
        decided = decide(votes.values(), self._consensus)
        _set(self._tied, sample_id, bool(votes) and decided is None)
        self._count(sample_id, decided)
        if sample_id not in self._place:
            if votes or sample_id not in self._at_cut:
                return
            # It is in no ordering before the next cut, because it was labeled at this one.
            self._place[sample_id] = len(self._order)
            self._order.append(sample_id)
        was_closed = sample_id in self._closed
        is_closed = decided is not None and len(votes) >= self._overlap
        _set(self._closed, sample_id, is_closed)
        if sample_id in self._rank:
            self._open_ranks += was_closed - is_closed
        if not is_closed and self._place[sample_id] < self._length:
            self._first = min(self._first, self._place[sample_id])

    def _count(self, sample_id: SampleId, decided: Answer | None) -> None:
        is_label = decided is not None and decided.label is not SKIP
        of_round = decided is not None and decided.round == self.round
        _set(self._labeled, sample_id, is_label and of_round and sample_id in self._rank)
        self._changed.pop(sample_id, None)
        if decided is None or not is_label or sample_id in self._validation:
            return
        if as_columns(decided.label) != self._at_cut.get(sample_id):
            self._changed[sample_id] = decided.received_at


def _set(members: set[SampleId], sample_id: SampleId, is_member: bool) -> None:
    (members.add if is_member else members.discard)(sample_id)
