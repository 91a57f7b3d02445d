"""A budget that ends when several budgets do."""

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
class AllOfBudget:
    """Ends a round, and the run, when all of several budgets do.

    A limit of money and a deadline hold in any case: nothing is handed out beyond them.

    Args:
        of: The budgets by a name of your choice, by which ``lightning-badge budget`` finds them;
            null leaves one out.

    Example:
        >>> from lightning_badge import FixedBudget, OnDemandBudget
        >>> budget = AllOfBudget({"size": FixedBudget(50), "more": FixedBudget(20)})
        >>> budget.query_size(round=0, labeled=0, pool=999, ordering=())
        50
    """

    of: Mapping[str, Any]

    def __post_init__(self) -> None:
        set_fields(self, of=named_parts("all_of", self.of))
        self.terms(training_s=0.0)  # raises if two of them limit money

    @property
    def needs_ordering(self) -> bool:
        """Whether one of them needs the ordering of the round."""
        return needs_any_ordering(self.of)

    @property
    def has_size(self) -> bool:
        """Whether all of them set a number of labels."""
        return all(map(has_size, self.of.values()))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:
        """Returns the largest of the sizes."""
        began = {"round": round, "labeled": labeled, "pool": pool, "ordering": ordering}
        sizes: list[int] = [part.query_size(**began) for part in self.of.values()]
        return max(sizes)

    def is_complete(self, received: Received) -> bool:
        """Returns whether each of them ends the round."""
        return all(is_complete_part(part, received) for part in self.of.values())

    def reached(self, past: Past) -> str | None:
        """Returns why they end the run, if each of them does so."""
        found = reasons(self.of, past)
        return "; ".join(filter(None, found)) if all(found) else None

    def terms(self, *, training_s: float) -> Terms:
        """Returns the terms of all of them."""
        return terms_of_parts(self.of, training_s)
