"""A budget that ends at a time of day."""

from collections.abc import Sized
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget.base import (
    Past,
    Received,
    checked_number,
    optional_int,
    set_fields,
    size_or_pool,
)
from lightning_badge.store.terms import Terms


@dataclass(frozen=True)
class DeadlineBudget:
    """Asks for labels as long as a model can be trained on them in time.

    No sample is handed out at the deadline or later, nor so late that the training of the last
    labels, which takes as long as the longest round so far, would end after it.

    Args:
        at: The deadline in ISO 8601, such as ``2026-12-01T18:00+01:00``.
        zone: Time zone of a deadline without an offset, such as ``Europe/Berlin``.
        k: Number of labels in a round; None for no number.
        spare_s: Seconds between the end of the last training and the deadline.

    Example:
        >>> budget = DeadlineBudget(at="2026-12-01T18:00", zone="Europe/Berlin")
        >>> budget.terms(training_s=540.0).until.isoformat()
        '2026-12-01T17:50:00+01:00'
    """

    needs_ordering: ClassVar[bool] = False

    at: str
    zone: str | None = None
    k: int | None = None
    spare_s: float = 60.0

    def __post_init__(self) -> None:
        expected = "a number of seconds of 0 or more"
        set_fields(self, k=optional_int("k", self.k))
        set_fields(self, spare_s=checked_number("spare_s", self.spare_s, expected))
        self._time()

    @property
    def has_size(self) -> bool:
        """Whether a round has a number of labels."""
        return self.k is not None

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns ``k``, at most the size of the pool."""
        return size_or_pool(self.k, pool)

    def is_complete(self, received: Received) -> bool:
        """Returns whether the deadline has passed; the loop stops earlier, by the terms."""
        return received.now >= self._time()

    def reached(self, past: Past) -> str | None:
        """Returns that no further model can be trained in time; None if one can."""
        until = self._until(past.training_s)
        if past.now < until:
            return None
        needed = f"a training takes {past.training_s:.0f} s" if past.training_s else "it has passed"
        return f"the deadline {self.at} is near: {needed}"

    def terms(self, *, training_s: float) -> Terms:
        """Returns the time until which labels are of use, which holds for every lease."""
        return Terms(until=self._until(training_s), at=self._time())

    def _until(self, training_s: float) -> datetime:
        return self._time() - timedelta(seconds=training_s + self.spare_s)

    def _time(self) -> datetime:
        text: Any = self.at
        try:
            time = text if isinstance(text, datetime) else datetime.fromisoformat(_iso(text))
            zone = None if self.zone is None else ZoneInfo(self.zone)
        except (TypeError, ValueError, KeyError, OSError) as error:
            raise BudgetError(
                "budget.at: expected a time such as 2026-12-01T18:00+01:00, and budget.zone a name "
                f"such as Europe/Berlin, got {text!r} and {self.zone!r} ({error})"
            ) from error
        if time.tzinfo is None and zone is None:
            raise BudgetError(
                f"budget.at: expected a time with an offset such as +01:00, got {text!r}; add it, "
                "or set budget.zone=Europe/Berlin"
            )
        return time if time.tzinfo is not None else time.replace(tzinfo=zone)


def _iso(text: str) -> str:
    """Returns a time that Python 3.10 reads, too."""
    return f"{text[:-1]}+00:00" if text[-1:] in ("Z", "z") else text
