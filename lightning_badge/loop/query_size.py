"""How many labels a round asks for, by its budget and the run's limits."""

from collections.abc import Sized
from typing import Any

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget import Budget
from lightning_badge.loop.budget.base import has_size, needs_ordering
from lightning_badge.loop.limits import Limits

__all__ = ["has_size", "needs_ordering", "query_size"]


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
