"""A budget that ends as soon as one of several does."""

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any

from lightning_badge.loop.budget.base import (
    Past,
    Received,
    has_size,
    is_complete_part,
    named_parts,
    needs_any_ordering,
    reasons,
    set_fields,
    terms_of_parts,
)
from lightning_badge.store.terms import Terms


@dataclass(frozen=True)
class AnyOfBudget:
    """Ends a round, and the run, as soon as one of several budgets does.

    Args:
        of: The budgets by a name of your choice, by which ``lightning-badge budget`` finds them;
            null leaves one out.

    Example:
        >>> from lightning_badge import CostBudget, FixedBudget
        >>> budget = AnyOfBudget({"size": FixedBudget(50), "money": CostBudget(limit=9, price=1)})
        >>> budget.query_size(round=0, labeled=0, pool=999, ordering=())
        50
    """

    of: Mapping[str, Any]

    def __post_init__(self) -> None:
        set_fields(self, of=named_parts("any_of", self.of))
        self.terms(training_s=0.0)  # raises if two of them limit money

    @property
    def needs_ordering(self) -> bool:
        """Whether one of them needs the ordering of the round."""
        return needs_any_ordering(self.of)

    @property
    def has_size(self) -> bool:
        """Whether one of them sets a number of labels."""
        return any(map(has_size, self.of.values()))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:
        """Returns the smallest of the sizes."""
        began = {"round": round, "labeled": labeled, "pool": pool, "ordering": ordering}
        sizes: list[int] = [part.query_size(**began) for part in self.of.values()]
        return min(sizes)

    def is_complete(self, received: Received) -> bool:
        """Returns whether one of them ends the round."""
        return any(is_complete_part(part, received) for part in self.of.values())

    def reached(self, past: Past) -> str | None:
        """Returns why the first of them that ends the run does so; None if none does."""
        return next(filter(None, reasons(self.of, past)), None)

    def terms(self, *, training_s: float) -> Terms:
        """Returns the terms of all of them."""
        return terms_of_parts(self.of, training_s)
