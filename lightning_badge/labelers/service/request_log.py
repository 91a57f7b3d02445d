"""Which requests were made: committed before they are sent, so that each is made once.

The id of a request is a function of the run, the annotator, the sample, and how many answers of the
annotator to the sample are in the log. After a crash the same request is therefore made again, and
a service that knows it already answers it again, without being paid again. The round is not part of
it: a request that is open when a round ends goes on in the next one.
"""

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query

RUN, REQUEST = "service_run", "request"


@dataclass(frozen=True)
class Made:
    """A request that was made.

    Attributes:
        request_id: Its id.
        sample_id: The sample.
        round: The round that offered it.
        rank: Its rank in the ordering of that round; None if it has none.
        guess: What the trained model predicted; None if it is not known.
    """

    request_id: str
    sample_id: SampleId
    round: int
    rank: int | None
    guess: Label | None


class RequestLog:
    """The requests of an annotator, as changes in the label store.

    Args:
        store: The label store.
        annotator: Who answers.
    """

    def __init__(self, store: LabelStore, annotator: str) -> None:
        self._store, self._annotator = store, annotator
        self._run = self._run_id()
        self._made = {
            made.request_id: made
            for change in store.changes.of(REQUEST)
            if (facts := dict(change.facts)).pop("annotator") == annotator
            for made in [Made(**facts)]
        }
        answered = {answer.request_id for answer in store.answers()}
        self._open = {key: made for key, made in self._made.items() if key not in answered}

    def unanswered(self) -> list[Made]:
        """Returns the requests whose answer is not in the store, oldest first."""
        return list(self._open.values())

    def answered(self, request_id: str) -> None:
        """Notes that the answer to a request was committed."""
        self._open.pop(request_id, None)

    def make(self, query: Query, sample_ids: Iterable[SampleId], *, guess: bool) -> list[Made]:
        """Commits requests for samples that are leased; those made before stay as they are.

        Args:
            query: The query that offers them.
            sample_ids: The samples.
            guess: Whether to note what the trained model predicts.
        """
        made = [self._one(query, sample_id, guess) for sample_id in sample_ids]
        if new := [one for one in made if one.request_id not in self._made]:
            with self._store.leases.transaction():
                for one in new:
                    facts = {**vars(one), "annotator": self._annotator}
                    self._store.changes.write(REQUEST, facts)
            self._made |= {one.request_id: one for one in new}
            self._open |= {one.request_id: one for one in new}
        return [self._made[one.request_id] for one in made]

    def _one(self, query: Query, sample_id: SampleId, guess: bool) -> Made:
        number = sum(
            answer.annotator == self._annotator for answer in self._store.answers_to(sample_id)
        )
        text = json.dumps([self._run, self._annotator, sample_id, number])
        digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        rank = query.rank_of(sample_id)
        return Made(digest, sample_id, query.round, rank, query.guess_at(rank) if guess else None)

    def _run_id(self) -> str:
        """Returns what tells this run from all others, also from one in the same folder."""
        with self._store.leases.transaction():
            if self._store.changes.last(RUN) is None:
                self._store.changes.write(RUN, {"id": uuid.uuid4().hex})
        change = self._store.changes.last(RUN)
        assert change is not None, "it was committed"
        return str(change.facts["id"])
