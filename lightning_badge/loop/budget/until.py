"""A budget that ends a run by what its models have learned."""

import math
from collections.abc import Sized
from dataclasses import dataclass
from typing import ClassVar

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget.base import (
    Past,
    checked_number,
    checked_share,
    positive_int,
    set_fields,
)


@dataclass(frozen=True)
class UntilBudget:
    """Asks for ``k`` labels a round, until the metric or the gains of the orderings say enough.

    Args:
        k: Number of labels in a round.
        target: The run ends when its metric reaches this value; None for none.
        patience: The run ends after so many rounds in a row without a better metric; None for
            never.
        min_delta: The least difference to the best metric so far that counts as better.
        min_gain: The run ends when the mean gain of the first ranks of an ordering is below this
            share of that of the first ordering, in (0, 1]; None for never.

    Example:
        >>> from datetime import datetime, timezone
        >>> from lightning_badge.loop.budget.base import Past, TrainedRound
        >>> rounds = [TrainedRound(10, value, 1.0) for value in (0.7, 0.8, 0.8, 0.79)]
        >>> UntilBudget(k=50, patience=2).reached(Past(rounds, datetime.now(timezone.utc)))
        'patience=2: no better metric than 0.8 in 2 rounds'
    """

    needs_ordering: ClassVar[bool] = False

    k: int
    target: float | None = None
    patience: int | None = None
    min_delta: float = 0.0
    min_gain: float | None = None

    def __post_init__(self) -> None:
        set_fields(self, k=positive_int("k", self.k))
        if self.target is not None:
            expected = "a number, or null"
            target = checked_number("target", self.target, expected, least=-math.inf)
            set_fields(self, target=target)
        if self.patience is not None:
            set_fields(self, patience=positive_int("patience", self.patience))
        min_delta = checked_number("min_delta", self.min_delta, "a number of 0 or more")
        set_fields(self, min_delta=min_delta)
        if self.min_gain is not None:
            set_fields(self, min_gain=checked_share("min_gain", self.min_gain))
        if self.target is None and self.patience is None and self.min_gain is None:
            raise BudgetError(
                "budget=until: expected target, patience or min_gain, got none; set one, such as "
                "budget.patience=3"
            )

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns ``k``, at most the size of the pool."""
        return min(self.k, pool)

    def reached(self, past: Past) -> str | None:
        """Returns which of the conditions holds; None if none does."""
        if not past.rounds:
            return None
        last = past.rounds[-1]
        if self.target is not None and last.value >= self.target:
            return f"target={self.target} is reached"
        return self._without_progress(past) or self._without_gain(past)

    def _without_progress(self, past: Past) -> str | None:
        if self.patience is None:
            return None
        best, since = -math.inf, 0
        for trained in past.rounds:
            is_better = trained.value > best + self.min_delta
            best, since = (trained.value, 0) if is_better else (best, since + 1)
        if since < self.patience or best == -math.inf:
            return None
        return f"patience={self.patience}: no better metric than {best:.4g} in {since} rounds"

    def _without_gain(self, past: Past) -> str | None:
        gains = [trained.gain for trained in past.rounds if trained.gain is not None]
        if self.min_gain is None or len(gains) < 2 or not gains[0] > 0:
            return None
        share = gains[-1] / gains[0]
        if share >= self.min_gain:
            return None
        return f"min_gain={self.min_gain}: gains are {share:.1%} of those of the first ordering"
