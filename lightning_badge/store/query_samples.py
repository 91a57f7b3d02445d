"""What the log of answers says about the samples of a query: open, tied, labeled, closed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from lightning_badge.labels import SKIP, UNDO
from lightning_badge.ordering.ordering import Ordering
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer, as_columns
from lightning_badge.store.consensus import (
    PEOPLE_FIRST,
    answers_in_force,
    decide,
    is_model,
    votes_of,
)
from lightning_badge.store.label_store import Cut, LabelStore
from lightning_badge.store.priorities import Described, Rule, excluded, in_order
from lightning_badge.store.query_order import interleaved, unfinished


class QuerySamples:
    """The samples of a query in their order, kept up to date from the log.

    Args:
        store: The label store.
        cut: The cut that the ordering was computed from.
        ordering: The ordering.
        validation: Ids of validation samples, in the order in which to ask for them.
        overlap: Number of annotators that answer each sample.
        initial: Ids of samples whose label is known from the data.

    Attributes:
        overlap: Number of annotators that answer each sample.
        count: Number of samples that the query had at its cut.
        rank: Rank of each sample of the ordering.
        answered: The latest answer of each annotator to each sample, ``UNDO`` included.
        labeled: Samples, other than validation samples, that have a label in force and had none at
            the cut.
        changed: Samples, other than validation samples, whose label is not the one of the cut, and
            when it was received.
        open_ranks: Number of ranked samples that need an answer and may be handed out.
        excluded: Samples that are not to be handed out.
        seconds: Time that the answers since the cut took.
    """

    def __init__(
        self,
        store: LabelStore,
        cut: Cut,
        ordering: Ordering,
        *,
        validation: Iterable[SampleId],
        overlap: int,
        initial: Iterable[SampleId],
    ) -> None:
        self._store = store
        self.overlap = overlap
        self._consensus = store.consensus
        self._are_people_first = self._consensus == PEOPLE_FIRST
        self.rank = {sample_id: rank for rank, sample_id in enumerate(ordering)}
        self._validation = frozenset(validation := list(validation))
        log = store.usable_answers(after=0)
        self._last_of_cut = cut.last_answer_id
        before = [answer for answer in log if answer.answer_id <= cut.last_answer_id]
        at_cut = answers_in_force(before, self._consensus)
        self._at_cut = {key: as_columns(answer.label) for key, answer in at_cut.items()}
        labeled = (key for key, answer in at_cut.items() if answer.label is not SKIP)
        self._uncounted = self._validation.union(initial, labeled)
        unanswered = (key for key in validation if key not in at_cut)
        earlier = unfinished(before, overlap)
        if self._are_people_first:  # an answer of a model is given, and does not count yet
            votes = votes_of(before)
            earlier += [key for key in votes if votes[key] and key not in at_cut]
        self._unfinished = [key for key in dict.fromkeys(earlier) if key not in self.rank]
        self._unanswered = list(unanswered)
        self.excluded: set[SampleId] = set()
        self._rules: Sequence[Rule] = ()
        self._described = Described(lambda _: None)
        self._closed: set[SampleId] = set()
        self._arrange(self.rank)
        self.forget()
        self._take_in(log)

    def prioritise(self, rules: Sequence[Rule], described: Described) -> None:
        """Changes the order of the samples, and which are not to be handed out.

        Args:
            rules: The rules in force, the latest one last.
            described: What rules match.
        """
        self._rules, self._described = rules, described
        undone = self._order[self.count :]
        self._arrange(in_order(self.rank, rules, described))
        self._place.update((key, self.count + n) for n, key in enumerate(undone))
        self._order += undone
        self.excluded = excluded(self._order, rules, described)
        self.open_ranks = sum(not self._is_out(key) for key in self.rank)

    def forget(self) -> None:
        """Forgets all answers; the next ``refresh`` reads them anew."""
        for sample_id in self._order[self.count :]:
            del self._place[sample_id]
        del self._order[self.count :]
        self._first = 0
        self._votes: dict[SampleId, dict[str, Answer]] = {}
        self.answered: dict[tuple[SampleId, str], Answer] = {}
        self._tied: set[SampleId] = set()
        self.labeled: set[SampleId] = set()
        self.changed: dict[SampleId, datetime] = {}
        self.seconds = 0.0
        self._closed.clear()
        self.open_ranks = sum(not self._is_out(key) for key in self.rank)
        self._seen = 0

    def refresh(self) -> None:
        """Takes in the answers that were committed since the last call."""
        self._take_in(self._store.usable_answers(after=self._seen))

    @property
    def has_answers(self) -> bool:
        """Whether any answer was received since the cut."""
        return self._seen > self._last_of_cut

    def votes_on(self, sample_id: SampleId) -> Mapping[str, Answer]:
        """Returns the latest answer of each annotator to a sample, without ``UNDO``."""
        return self._votes.get(sample_id, {})

    def is_open(self, sample_id: SampleId) -> bool:
        """Returns whether a sample is one of the query and needs an answer."""
        return sample_id in self._place and sample_id not in self._closed

    def missing(self, sample_id: SampleId) -> int:
        """Returns how many annotators a sample needs."""
        return max(self.overlap - len(self.votes_on(sample_id)), int(sample_id in self._tied))

    def may_count(self, sample_id: SampleId) -> bool:
        """Returns whether a label of a sample would be one more label of the query."""
        return sample_id not in self._uncounted and sample_id not in self.labeled

    def may_answer(self, sample_id: SampleId, annotator: str) -> bool:
        """Returns whether an annotator may get a sample.

        With ``people_first`` models get none that annotators disagree about, and none for
        validation, because a model that is measured by the answers of another one is not measured.
        """
        is_for_people = sample_id in self._tied or sample_id in self._validation
        return not (self._are_people_first and is_for_people and is_model(annotator))

    def undecided(self) -> list[SampleId]:
        """Returns the samples of the query that were answered and wait for a further annotator."""
        return [sample_id for sample_id in self._tied if self.is_open(sample_id)]

    def turn(self, sample_id: SampleId) -> tuple[bool, int]:
        """Returns what open samples are sorted by."""
        place = self._place[sample_id]
        return not (sample_id in self._tied or place >= self.count), place

    def open(self) -> Iterator[SampleId]:
        """Yields the open samples: tied ones and ones undone since the cut, then all others.

        Those that are excluded are not among them.
        """
        undone = (key for key in self._order[self.count :] if key not in self._closed)
        first = {*(self._tied & self._place.keys()), *undone} - self.excluded
        yield from sorted(first, key=self._place.__getitem__)
        while self._first < self.count and self._is_out(self._order[self._first]):
            self._first += 1
        for place in range(self._first, self.count):
            sample_id = self._order[place]
            if not self._is_out(sample_id) and sample_id not in self._tied:
                yield sample_id

    def _arrange(self, ranked: Iterable[SampleId]) -> None:
        """Sets the order: unfinished samples, then ranked ones with some for validation."""
        self._order = [*self._unfinished, *interleaved(ranked, self._unanswered)]
        self._place = {sample_id: place for place, sample_id in enumerate(self._order)}
        self.count = len(self._order)
        self._first = 0  # all places before it are closed, or excluded

    def _is_out(self, sample_id: SampleId) -> bool:
        return sample_id in self._closed or sample_id in self.excluded

    def _take_in(self, answers: list[Answer]) -> None:
        for answer in answers:
            self._seen = answer.answer_id
            if answer.answer_id > self._last_of_cut:
                self.seconds += answer.seconds or 0.0
            self.answered[answer.sample_id, answer.annotator] = answer
            votes = self._votes.setdefault(answer.sample_id, {})
            votes[answer.annotator] = answer
            if answer.label is UNDO:
                del votes[answer.annotator]
                self._reopen(answer)
        for sample_id in dict.fromkeys(answer.sample_id for answer in answers):
            self._decide(sample_id)

    def _reopen(self, undo: Answer) -> None:
        """Adds a sample that is in no ordering before the next cut: it was answered at this one."""
        sample_id = undo.sample_id
        is_later = undo.answer_id > self._last_of_cut
        if is_later and sample_id in self._at_cut and sample_id not in self._place:
            self._place[sample_id] = len(self._order)
            self._order.append(sample_id)
            self.excluded |= excluded([sample_id], self._rules, self._described)

    def _decide(self, sample_id: SampleId) -> None:
        votes = self._votes[sample_id]
        decided = decide(votes.values(), self._consensus)
        _set(self._tied, sample_id, bool(votes) and decided is None)
        self._count(sample_id, decided)
        if sample_id not in self._place:
            return
        was_closed = sample_id in self._closed
        is_closed = decided is not None and len(votes) >= self.overlap
        _set(self._closed, sample_id, is_closed)
        if sample_id in self.rank and sample_id not in self.excluded:
            self.open_ranks += was_closed - is_closed
        if not is_closed and self._place[sample_id] < self.count:
            self._first = min(self._first, self._place[sample_id])

    def _count(self, sample_id: SampleId, decided: Answer | None) -> None:
        is_label = decided is not None and decided.label is not SKIP
        _set(self.labeled, sample_id, is_label and sample_id not in self._uncounted)
        self.changed.pop(sample_id, None)
        if decided is None or not is_label or sample_id in self._validation:
            return
        if as_columns(decided.label) != self._at_cut.get(sample_id):
            self.changed[sample_id] = decided.received_at


def _set(members: set[SampleId], sample_id: SampleId, is_member: bool) -> None:
    (members.add if is_member else members.discard)(sample_id)
