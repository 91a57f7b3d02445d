"""Which answers of people are new to the run: each counts once, also after a crash."""

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.label_studio.labeling_config import LabelingConfig
from lightning_badge.labelers.label_studio.tasks import Task, Vote
from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import NewAnswer, as_columns
from lightning_badge.store.next_sample import Query

_PREFIX = "label_studio"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Said:
    """What an annotator said of a sample last, as the store holds it.

    Attributes:
        says: Its columns ``status`` and ``label``.
        times: How often the annotator said something in the project.
        is_ours: Whether this was said in the project.
    """

    says: tuple[str, str | None] = (UNDO.value, None)
    times: int = 0
    is_ours: bool = False


class Answers:
    """What people say in a project, compared with what the store holds of it.

    An annotator's latest answer to a sample counts. It counts again only when it says something
    else than the store, and is undone when it was deleted. Its ``request_id`` is a function of
    project, sample, annotator and number of changes, so that what was not committed comes again.

    Args:
        query: Its store holds what was counted before.
        key: Of the project.
    """

    def __init__(self, query: Query, key: str) -> None:
        self._key = key
        self._said: dict[tuple[SampleId, str], _Said] = {}
        self._annotators: dict[SampleId, list[str]] = {}
        self._refused: set[tuple[int, str]] = set()
        for answer in query.store.answers():
            place, _, times = (answer.request_id or "").rpartition("-")
            is_ours = place.startswith(f"{_PREFIX}-{key}-")
            before = self._said.get((answer.sample_id, answer.annotator), _Said())
            self._count(
                answer.sample_id,
                answer.annotator,
                _Said(as_columns(answer.label), int(times) if is_ours else before.times, is_ours),
            )

    def new(
        self, query: Query, config: LabelingConfig, tasks: Iterable[tuple[SampleId, list[Task]]]
    ) -> list[NewAnswer]:
        """Returns the answers that do not count yet, oldest first.

        Args:
            query: The query that asks now.
            config: What answers call the classes.
            tasks: Samples with all their tasks; a sample without tasks keeps its answers.
        """
        found: list[tuple[str, NewAnswer]] = []
        for sample_id, of_sample in tasks:
            if not of_sample:
                continue
            latest = _latest(vote for task in of_sample for vote in task.votes)
            for annotator in dict.fromkeys([*latest, *self._annotators.get(sample_id, ())]):
                vote = latest.get(annotator)
                answer = self._answer(query, config, sample_id, annotator, vote)
                if answer is not None:
                    found.append(("" if vote is None else vote.at, answer))
        return [answer for _, answer in sorted(found, key=lambda pair: pair[0])]

    def _answer(
        self,
        query: Query,
        config: LabelingConfig,
        sample_id: SampleId,
        annotator: str,
        vote: Vote | None,
    ) -> NewAnswer | None:
        """Returns what an annotator says now; None if it is known or cannot be used."""
        before = self._said.get((sample_id, annotator), _Said())
        if vote is None and not before.is_ours:
            return None
        label: Label | Skip | Undo = UNDO
        if vote is not None:
            try:
                label = _label(vote, query, config)
                if reason := query.store.refusal(sample_id, label):
                    raise LabelError(reason)
            except LabelError as error:
                self._say(vote, annotator, error)
                return None
        now = _Said(as_columns(label), before.times + 1, is_ours=True)
        if now.says == before.says:
            return None
        self._count(sample_id, annotator, now)
        offer = query.origin(sample_id, annotator)
        who = hashlib.blake2b(json.dumps([sample_id, annotator]).encode(), digest_size=12)
        return NewAnswer(
            sample_id,
            label,
            annotator,
            offer.round,
            offer.rank,
            None if vote is None else vote.seconds,
            f"{_PREFIX}-{self._key}-{who.hexdigest()}-{now.times}",
        )

    def _count(self, sample_id: SampleId, annotator: str, said: _Said) -> None:
        if (sample_id, annotator) not in self._said:
            self._annotators.setdefault(sample_id, []).append(annotator)
        self._said[sample_id, annotator] = said

    def _say(self, vote: Vote, annotator: str, error: LabelError) -> None:
        if (vote.number, vote.at) not in self._refused:
            self._refused.add((vote.number, vote.at))
            _log.warning(
                "Label Studio, annotation %d of %s: %s; it does not count",
                *(vote.number, annotator, error),
            )


def _latest(votes: Iterable[Vote]) -> dict[str, Vote]:
    """Returns the latest answer of each annotator."""
    return {vote.annotator: vote for vote in sorted(votes, key=lambda vote: (vote.at, vote.number))}


def _label(vote: Vote, query: Query, config: LabelingConfig) -> Label | Skip:
    if vote.choices is None:
        return SKIP
    names = [config.classes.get(choice, choice) for choice in vote.choices]
    classes = query.classes
    if classes.multilabel:
        numbers = {classes.number(name) for name in names}
        return [float(number in numbers) for number in range(len(classes.names() or ()))]
    if len(names) != 1:
        raise LabelError(f"expected one class, got {names or 'none'}")
    return classes.number(names[0])
