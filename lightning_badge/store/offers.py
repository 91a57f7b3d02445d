"""Samples that are offered to labelers, and what a query has received."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from lightning_badge.sample_ids import SampleId


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
        labels: Samples, other than validation samples, that have a label in force and had none at
            the cut, whatever round offered them.
        new_labels: Samples, other than validation samples, whose label is not the one of the cut.
        is_exhausted: Whether no ranked sample is left to ask for.
        has_answers: Whether any answer was received since the cut.
        received_at: When the new labels were received.
        seconds: Time that labelers spent on answers since the cut.
        money: What all answers of the run have cost; 0 where the run has no limit of money.
        arrivals: Samples that were added since the cut.
        now: The time.
        began: The arguments with which the budget was asked for the query size, by name.
    """

    labels: int
    new_labels: int
    is_exhausted: bool
    has_answers: bool
    received_at: Collection[datetime]
    seconds: float = 0.0
    money: float = 0.0
    arrivals: int = 0
    now: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    began: Mapping[str, Any] = field(default_factory=dict)

    @property
    def oldest_s(self) -> float | None:
        """Seconds since the oldest of the new labels was received; None without any."""
        oldest = min(self.received_at, default=None)
        return None if oldest is None else (datetime.now(timezone.utc) - oldest).total_seconds()
