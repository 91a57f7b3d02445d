"""Simulated labelers with working hours, on a virtual clock that shows date and time of day.

Which sample is answered when is a function of the log: the request id of each answer holds the
time at which it was given, so that a killed run goes on as it would have.
"""

import heapq
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.working_hours import WorkingHours
from lightning_badge.labels import Label, Skip
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer, NewAnswer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Offer, Query

_HOUR = 3600.0
_LEASE_S = 24 * _HOUR  # longer than any answer takes
_AT = " at "


@dataclass(frozen=True)
class Member:
    """A labeler: how fast they are, and when they work."""

    name: str
    rate: float
    hours: WorkingHours

    @property
    def seconds(self) -> float:
        """What an answer takes."""
        return _HOUR / self.rate


class Team:
    """Labelers of different speed, each with working hours.

    A labeler who is free in their hours leases the next sample, and is done with it after the time
    that one of their labels takes, even if that is a little later than the end of their hours.
    Nobody leases a sample for later.

    Args:
        members: For each labeler, ``rate`` (labels in an hour) and ``hours`` (a text such as
            ``mon-fri 09:00-17:00``).
        begins: When the run begins, in ISO 8601; UTC without an offset.
        training_s: Seconds that a training takes.
        answer: Returns what a labeler answers.

    Raises:
        LabelError: Members or the beginning are not valid.
    """

    def __init__(
        self,
        members: Mapping[str, Any],
        begins: Any,
        *,
        training_s: float,
        answer: Callable[[SampleId, str], Label | Skip],
    ) -> None:
        self.members = {str(name): _member(str(name), given) for name, given in members.items()}
        self.begins = _time(begins)
        self.training_s = training_s
        self._answer = answer
        self._trained: dict[tuple[int, int, int], datetime] = {}

    def time_in(self, store: LabelStore) -> float:
        """Returns the virtual time of a store: that of its last answer, or of a later training."""
        return self._now(store).timestamp()

    def collect(self, query: Query) -> Iterator[list[NewAnswer]]:
        """Yields the answers to a query, one at a time, in the order in which they are done."""
        since = self._trained_at(query.store)
        yield from self._work(query, since, None)

    def late_answers(self, query: Query) -> Iterator[list[NewAnswer]]:
        """Yields the answers to a query that are done while the newest model is trained."""
        cut = query.store.newest_cut()
        assert cut is not None, "training committed it"
        yield from self._work(query, *self.training_at(query.store, cut.round))

    def _work(
        self, query: Query, since: datetime, until: datetime | None
    ) -> Iterator[list[NewAnswer]]:
        """Yields answers until nobody gets a sample, or to a time; who is at work stays at it."""
        free, at_work = self._state(query, since)
        while free or at_work:
            if free and (not at_work or free[0][0] <= at_work[0][0]):
                begin, name = heapq.heappop(free)
                if until is not None and begin >= until:
                    continue
                if offer := self._lease(query, name, begin):
                    heapq.heappush(at_work, (self._done(name, begin), name, offer))
                continue
            done, name, offer = heapq.heappop(at_work)
            if until is not None and done > until:
                return
            yield [self._answered(offer, name, done)]
            heapq.heappush(free, (self.members[name].hours.next_open(done), name))

    def _state(
        self, query: Query, since: datetime
    ) -> tuple[list[tuple[datetime, str]], list[tuple[datetime, str, Offer]]]:
        """Returns who is free from when, and who is at work until when, by the store.

        The lease of a sample that somebody is at work on tells when they began. Those without any
        got none, or were done when the phase before ended.
        """
        answers = query.store.answers()
        last = {answer.annotator: time_of(answer) for answer in answers}
        given = {(answer.sample_id, answer.annotator) for answer in answers}
        free: list[tuple[datetime, str]] = []
        at_work: list[tuple[datetime, str, Offer]] = []
        for name, member in self.members.items():
            for sample_id, expires_at in query.store.leases.of(name).items():
                if (sample_id, name) in given:
                    continue
                begin = datetime.fromtimestamp(expires_at - _LEASE_S, timezone.utc)
                if offer := self._lease(query, name, begin):
                    at_work.append((self._done(name, begin), name, offer))
                    break
            else:
                begin = max(since, last.get(name, since))
                free.append((member.hours.next_open(begin), name))
        heapq.heapify(free)
        heapq.heapify(at_work)
        return free, at_work

    def _done(self, name: str, begin: datetime) -> datetime:
        return begin + timedelta(seconds=self.members[name].seconds)

    def _lease(self, query: Query, name: str, begin: datetime) -> Offer | None:
        offers = query.lease(name, 1, annotator=name, seconds=_LEASE_S, now=begin.timestamp())
        return offers[0] if offers else None

    def _now(self, store: LabelStore) -> datetime:
        # Answers come in the order of their times.
        latest = self._given_at(store, store.last_answer_id())
        return max(latest, self._trained_at(store))

    def _trained_at(self, store: LabelStore) -> datetime:
        """Returns when the newest model is trained; the beginning of the run before the first."""
        cut = store.newest_cut()
        if cut is None:
            return self.begins
        key = (cut.round, cut.attempt, cut.last_answer_id)
        if key not in self._trained:
            self._trained[key] = self.training_at(store, cut.round)[1]
        return self._trained[key]

    def training_at(self, store: LabelStore, round: int) -> tuple[datetime, datetime]:
        """Returns begin and end of the training of a round: after its last answer and the others.

        Args:
            store: The label store.
            round: A round that has a cut.
        """
        end = self.begins
        for number in range(round + 1):
            begin = max(end, self._given_at(store, store.cuts(number)[-1].last_answer_id))
            end = begin + timedelta(seconds=self.training_s)
        return begin, end

    def _given_at(self, store: LabelStore, answer_id: int) -> datetime:
        answer = store.answer_of(answer_id)
        return self.begins if answer is None else time_of(answer)

    def _answered(self, offer: Offer, name: str, done: datetime) -> NewAnswer:
        label = self._answer(offer.sample_id, name)
        seconds = self.members[name].seconds
        return NewAnswer(
            *(offer.sample_id, label, name, offer.round, offer.rank, seconds),
            request_id=f"{name}{_AT}{done.isoformat()}",
        )


def time_of(answer: Answer) -> datetime:
    """Returns the virtual time at which an answer of a team was given.

    Raises:
        LabelError: It is an answer of somebody else.
    """
    _, is_ours, text = (answer.request_id or "").partition(_AT)
    if not is_ours:
        raise LabelError(
            f"labelers.team: answer {answer.answer_id} of {answer.annotator!r} has no virtual "
            "time; use another run_dir for a simulation"
        )
    return datetime.fromisoformat(text)


def _member(name: str, given: Any) -> Member:
    if not isinstance(given, Mapping) or set(given) != {"rate", "hours"}:
        raise LabelError(f"labelers.team.{name}: expected rate and hours, got {given!r}")
    rate = given["rate"]
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not rate > 0:
        raise LabelError(f"labelers.team.{name}.rate: expected a positive number, got {rate!r}")
    return Member(name, float(rate), WorkingHours.of_text(str(given["hours"])))


def _time(text: Any) -> datetime:
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise LabelError(
            f"labelers.begins: expected a time such as 2026-01-05T08:00, got {text!r}"
        ) from error
    return time if time.tzinfo is not None else time.replace(tzinfo=timezone.utc)
