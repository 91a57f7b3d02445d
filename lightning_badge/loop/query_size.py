"""How many labels a round asks for, by its budget and the run's limits."""

from collections.abc import Sized
from typing import Any

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget import Budget
from lightning_badge.loop.limits import Limits


def query_size(
    budget: Budget, limits: Limits, *, round: int, labeled: int, pool: int, ordering: Sized
) -> int:
    """Returns how many labels to ask for; 0 if the budget asks for no more.

    Args:
        budget: Of the run.
        limits: Of the run.
        round: As in `Budget.query_size`.
        labeled: As in `Budget.query_size`.
        pool: As in `Budget.query_size`.
        ordering: As in `Budget.query_size`.

    Raises:
        BudgetError: The budget asks for what is not a number of labels.
    """
    asked: Any = budget.query_size(round=round, labeled=labeled, pool=pool, ordering=ordering)
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 0:
        raise BudgetError(f"budget: expected a query size of 0 or more, got {asked!r}")
    return min(asked, limits.remaining_labels(labeled, pool))


def has_size(budget: Budget) -> bool:
    """Returns whether a budget sets the size of a query, and not a rule that ends it."""
    return not hasattr(budget, "is_complete")


def needs_ordering(budget: Budget) -> bool:
    """Returns whether the query size depends on the round's ordering; if a budget does not say so.

    Then nobody knows it before the round is trained.
    """
    return bool(getattr(budget, "needs_ordering", True))
