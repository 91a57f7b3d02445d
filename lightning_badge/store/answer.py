"""Answers of annotators, and which of them are in force."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from lightning_badge.labels import UNDO, Label, Skip, Undo
from lightning_badge.sample_ids import SampleId


@dataclass(frozen=True)
class NewAnswer:
    """An answer that is not in the store yet.

    Attributes:
        sample_id: The sample.
        label: A label, ``SKIP``, or ``UNDO`` to withdraw this annotator's answers to the sample.
        annotator: Name of the annotator.
        round: The round whose ordering offered the sample.
        rank: Rank of the sample in that ordering; None if it is not known.
        seconds: Time that the answer took; None if it is not known.
        request_id: Unique id of the client's request, so that a request that is sent again counts
            once; None if the client has none.
    """

    sample_id: SampleId
    label: Label | Skip | Undo
    annotator: str
    round: int
    rank: int | None = None
    seconds: float | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class Answer:
    """An annotator's committed answer; ``answer_id`` grows with every commit."""

    sample_id: SampleId
    label: Label | Skip | Undo
    annotator: str
    round: int
    received_at: datetime
    answer_id: int
    rank: int | None = None
    seconds: float | None = None
    request_id: str | None = None


def answers_in_force(answers: Iterable[Answer]) -> dict[SampleId, Answer]:
    """Returns the answer in force of each sample, oldest first.

    Of each annotator the latest answer to a sample counts; if it is ``UNDO``, none does. Of
    several annotators the latest remaining answer is in force.

    Args:
        answers: Answers in the order of commits.
    """
    of_annotator: dict[tuple[SampleId, str], Answer] = {}
    for answer in answers:
        of_annotator[answer.sample_id, answer.annotator] = answer
    remaining = [answer for answer in of_annotator.values() if answer.label is not UNDO]
    remaining.sort(key=lambda answer: answer.answer_id)
    latest = {answer.sample_id: answer for answer in remaining}
    return dict(sorted(latest.items(), key=lambda item: item[1].answer_id))
