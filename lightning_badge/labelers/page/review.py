"""The calls that look back: labels to review, and why a sample is asked for.

They have a thread and counts of their own, so that nobody who labels waits for them.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from lightning_badge.labelers.page.calls import CallError, Filter, filter_of, key_of, labeler_of
from lightning_badge.labelers.page.open_run import OpenRun, classes_of, guess_of
from lightning_badge.labelers.page.predictions import LatestPredictions, Predictions
from lightning_badge.labelers.page.tally import Tally
from lightning_badge.labels import Label, Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import as_columns

_Flags: TypeAlias = dict[SampleId, list[dict[str, str]]]


class Reviewer:
    """Answers the calls ``review`` and ``why``.

    Args:
        run: The run.
    """

    def __init__(self, run: OpenRun) -> None:
        self._run = run
        self._tally = Tally(run.store, run.page.initial)
        self._latest = LatestPredictions(run.directory)

    def why(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns rank, gain and guess of a sample, and the nearest labeled samples."""
        labeler_of(body)
        run, query, predictions = self._run, self._run.query, self._predictions()
        sample_id = run.samples.id_of(key_of(body))
        if sample_id is None:
            raise CallError("key: there is no such sample", 404)
        self._tally.follow()
        rank = None if query is None else query.rank_of(sample_id)
        gains = None if query is None else query.ordering.gains
        gain = math.nan if rank is None or gains is None else float(gains[rank])
        guess = None if query is None else guess_of(query, rank)
        return {
            "rank": rank,
            "gain": gain if math.isfinite(gain) else None,
            "guess": guess or predictions.guess(sample_id),
            "nearest": [
                {"item": run.shown_only(other), "label": self._tally.label(other)}
                for other in predictions.nearest(sample_id)
                if other in run.samples
            ],
        }

    def review(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Returns a part of the labels of one kind, and how many there are of each kind."""
        labeler_of(body)
        wanted = filter_of(body)
        self._tally.follow()
        predictions, flags = self._predictions(), self._flags()
        every = self._every()
        disagreed = [sample_id for sample_id in every if self._is_disputed(sample_id)]
        contradicted = self._contradicted(every, predictions)
        flagged = [sample_id for sample_id in reversed(flags) if sample_id in self._run.samples]
        by_kind = {
            "all": every,
            "disagreement": disagreed,
            "contradiction": contradicted,
            "flagged": flagged,
        }
        chosen = by_kind.get(wanted.by)
        if chosen is None:
            chosen = [sample_id for sample_id in every if self._matches(sample_id, wanted)]
        part = chosen[wanted.offset : wanted.offset + wanted.count]
        return {
            "total": len(chosen),
            **self._counts(every),
            "disagreements": len(disagreed),
            "contradictions": len(contradicted),
            "flagged": len(flagged),
            "rows": [self._row(sample_id, predictions, flags) for sample_id in part],
        }

    def _predictions(self) -> Predictions:
        query = self._run.query
        return self._latest.of(None if query is None else query.round)

    def _flags(self) -> _Flags:
        """Returns the comments on each sample; the sample that was flagged last comes last."""
        flags: dict[SampleId, list[dict[str, str]]] = {}
        for change in self._run.store.changes.of("flag"):
            sample_id = change.facts["sample_id"]
            comments = flags.pop(sample_id, [])
            comments.append({name: change.facts[name] for name in ("annotator", "comment")})
            flags[sample_id] = comments
        return flags

    def _every(self) -> list[SampleId]:
        """Returns all samples that are answered, the latest first, then those of the data."""
        latest = {
            sample_id: max(vote.answer_id for vote in votes.values())
            for sample_id, votes in self._tally.votes.items()
            if votes and sample_id in self._run.samples
        }
        known = (key for key in self._tally.initial if key in self._run.samples)
        answered = sorted(latest, key=latest.__getitem__, reverse=True)
        return [*answered, *(key for key in known if key not in latest)]

    def _is_disputed(self, sample_id: SampleId) -> bool:
        votes = self._tally.votes.get(sample_id, {}).values()
        return len({as_columns(vote.label) for vote in votes}) > 1

    def _contradicted(
        self, sample_ids: Iterable[SampleId], predictions: Predictions
    ) -> list[SampleId]:
        """Returns labeled samples of which the model predicts another class, surest first."""
        confidence: dict[SampleId, float] = {}
        for sample_id in sample_ids:
            label, guess = self._tally.label(sample_id), predictions.guess(sample_id)
            if label is not None and guess and guess["label"] not in classes_of(label):
                confidence[sample_id] = guess["confidence"]
        return sorted(confidence, key=confidence.__getitem__, reverse=True)

    def _matches(self, sample_id: SampleId, wanted: Filter) -> bool:
        if wanted.by == "annotator":
            return wanted.value in self._tally.votes.get(sample_id, {})
        label = self._tally.label(sample_id)
        return label is not None and wanted.value in classes_of(label)

    def _counts(self, sample_ids: Iterable[SampleId]) -> dict[str, Any]:
        classes: Counter[int] = Counter()
        annotators: Counter[str] = Counter()
        for sample_id in sample_ids:
            label = self._tally.label(sample_id)
            classes.update(() if label is None else classes_of(label))
            annotators.update(self._tally.votes.get(sample_id, {}).keys())
        return {
            "classes": {str(number): count for number, count in sorted(classes.items())},
            "annotators": dict(sorted(annotators.items())),
        }

    def _row(self, sample_id: SampleId, predictions: Predictions, flags: _Flags) -> dict[str, Any]:
        run, in_force = self._run, self._tally.in_force.get(sample_id)
        item = run.shown_only(sample_id)
        if in_force is not None:  # a correction belongs to the round of what it corrects
            item |= {"round": in_force.round, "rank": in_force.rank}
        elif run.query is not None:
            item |= {"round": run.query.round, "rank": run.query.rank_of(sample_id)}
        return {
            "item": item,
            "label": self._tally.label(sample_id),
            "annotator": None if in_force is None else in_force.annotator,
            "answers": [
                {
                    "annotator": answer.annotator,
                    "label": _plain(answer.label),
                    "status": as_columns(answer.label)[0],
                    "at": answer.received_at.isoformat(),
                }
                for answer in run.store.answers_to(sample_id)
            ],
            "guess": predictions.guess(sample_id),
            "flags": flags.get(sample_id, []),
        }


def _plain(label: Label | Skip | Undo) -> Label | None:
    return None if isinstance(label, Skip | Undo) else label
