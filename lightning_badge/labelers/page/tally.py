"""Counts of the labels in force, kept up to date from the log alone."""

from collections import Counter
from collections.abc import Mapping

from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer, as_columns
from lightning_badge.store.consensus import decide
from lightning_badge.store.label_store import LabelStore


class Tally:
    """The answers in force of a run and who gave them.

    Args:
        store: The label store.
        initial: The labels known from the data.

    Attributes:
        votes: The latest answer of each annotator to each sample, without ``UNDO``.
        in_force: The answer in force of each sample that has one.
        initial: The labels known from the data.
    """

    def __init__(self, store: LabelStore, initial: Mapping[SampleId, Label]) -> None:
        self.votes: dict[SampleId, dict[str, Answer]] = {}
        self.in_force: dict[SampleId, Answer] = {}
        self.initial = initial
        self._store = store
        self._consensus = store.consensus
        self._credited: dict[SampleId, tuple[str, ...]] = {}
        self._by_annotator: Counter[str] = Counter()
        self._known = set(initial)
        self._seen = 0

    def follow(self) -> None:
        """Takes in the answers that were committed since the last call."""
        answers = self._store.usable_answers(after=self._seen)
        for answer in answers:
            votes = self.votes.setdefault(answer.sample_id, {})
            votes.pop(answer.annotator, None)  # the latest vote comes last
            if answer.label is not UNDO:
                votes[answer.annotator] = answer
            self._seen = answer.answer_id
        for sample_id in {answer.sample_id for answer in answers}:
            self._decide(sample_id)

    @property
    def labels(self) -> int:
        """Number of samples with a label in force, those of the data included."""
        return len(self._known)

    def of(self, annotator: str) -> int:
        """Returns how many labels in force an annotator gave."""
        return self._by_annotator[annotator]

    def label(self, sample_id: SampleId) -> Label | None:
        """Returns the label in force of a sample; None if it has none."""
        answer = self.in_force.get(sample_id)
        if answer is None:
            return self.initial.get(sample_id)
        return None if isinstance(answer.label, Skip | Undo) else answer.label

    def _decide(self, sample_id: SampleId) -> None:
        votes = self.votes[sample_id]
        decided = decide(votes.values(), self._consensus)
        if decided is None:
            self.in_force.pop(sample_id, None)
        else:
            self.in_force[sample_id] = decided
        has_label = decided is not None and decided.label is not SKIP
        has_initial = decided is None and sample_id in self.initial
        (self._known.add if has_label or has_initial else self._known.discard)(sample_id)
        self._by_annotator.subtract(self._credited.pop(sample_id, ()))
        if decided is not None and has_label:
            agreed = as_columns(decided.label)
            names = tuple(name for name, vote in votes.items() if as_columns(vote.label) == agreed)
            self._credited[sample_id] = names
            self._by_annotator.update(names)
