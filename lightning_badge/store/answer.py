"""Answers of annotators, as given and as rows of the label store."""

import json
import math
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, UNDO, Label, Skip, Undo
from lightning_badge.sample_ids import SampleId

# The columns of a row that `answer_of_row` reads, in order.
COLUMNS = (
    *("answer_id", "sample_id", "status", "label", "annotator", "round", "rank", "seconds"),
    *("request_id", "received_at", "cost", "guess"),
)


@dataclass(frozen=True)
class NewAnswer:
    """An answer that is not in the store yet.

    Attributes:
        sample_id: The sample.
        label: A label, ``SKIP``, or ``UNDO`` to withdraw this annotator's answers to the sample.
        annotator: Name of the annotator.
        round: The round whose ordering offered the sample.
        rank: Rank of the sample in that ordering; None if it is not known or has none.
        seconds: Time that the answer took; None if it is not known.
        request_id: Unique id of the client's request, so that a request that is sent again counts
            once; None if the client has none.
        cost: What the answer cost, in the currency of the run, such as the price that a labeling
            service charged; None if it is not known.
        guess: What the trained model predicted when the sample was offered, for the consensus
            ``people_first``; None if it is not known.
    """

    sample_id: SampleId
    label: Label | Skip | Undo
    annotator: str
    round: int
    rank: int | None = None
    seconds: float | None = None
    request_id: str | None = None
    cost: float | None = None
    guess: Label | None = None

    def check(self) -> None:
        """Raises a LabelError if annotator, round, seconds or cost are not valid."""
        if not isinstance(self.annotator, str) or not self.annotator:
            raise LabelError(f"annotator: expected a name, got {self.annotator!r}")
        check_round(self.round)
        for name, value in (("seconds", self.seconds), ("cost", self.cost)):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise LabelError(f"{name}: expected a finite number of at least 0, got {value!r}")


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
    cost: float | None = None
    guess: Label | None = None


def answer_of_row(row: tuple[Any, ...]) -> Answer:
    """Returns the answer of a row with the columns `COLUMNS`."""
    answer_id, sample_id, status, text, annotator, round, rank, seconds, request_id, at = row[:10]
    cost, guess = row[10:]
    without_text: Skip | Undo = SKIP if status == SKIP.value else UNDO
    label = without_text if text is None else json.loads(text)
    received_at = datetime.fromisoformat(at)
    return Answer(
        *(sample_id, label, annotator, round, received_at, answer_id, rank, seconds, request_id),
        cost=cost,
        guess=None if guess is None else json.loads(guess),
    )


def as_columns(label: Label | Skip | Undo) -> tuple[str, str | None]:
    """Returns the columns ``status`` and ``label`` of an answer."""
    return (label.value, None) if isinstance(label, Skip | Undo) else ("label", as_json(label))


def as_json(value: Any) -> str:
    """Returns a value as the text that the store holds."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def check_round(round: object) -> None:
    """Raises a LabelError if a round is not an integer of at least 0."""
    if not isinstance(round, int) or isinstance(round, bool) or round < 0:
        raise LabelError(f"round: expected an integer of at least 0, got {round!r}")


def now() -> str:
    """Returns the current time in UTC, as the store writes it."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
