"""A budget that asks for as many labels as cover a share of the pool's scatter."""

from dataclasses import dataclass
from typing import Any, ClassVar

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget.base import checked_share, positive_int, set_fields


@dataclass(frozen=True)
class CoverageBudget:
    """Asks for as many labels as it takes to cover a share of the pool's scatter.

    A pool of similar samples needs few labels, a diverse one needs many.

    Args:
        coverage: The share to cover, in (0, 1]; see `Ordering`.
        high: The largest query size.

    Example:
        >>> from types import SimpleNamespace
        >>> ordering = SimpleNamespace(coverage=[0.2, 0.4, 0.6, 0.8])
        >>> budget = CoverageBudget(coverage=0.5, high=1000)
        >>> budget.query_size(round=0, labeled=0, pool=4, ordering=ordering)
        3
    """

    needs_ordering: ClassVar[bool] = True

    coverage: float
    high: int

    def __post_init__(self) -> None:
        set_fields(self, coverage=checked_share("coverage", self.coverage))
        set_fields(self, high=positive_int("high", self.high))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Any) -> int:  # noqa: ARG002
        """Returns the smallest number of ranks that reaches the coverage, at most ``high``.

        Raises:
            BudgetError: The ordering has no coverage.
        """
        if ordering.coverage is None:
            raise BudgetError(
                "budget=coverage: this ordering has no coverage; use a strategy that measures it, "
                "such as badge, or another budget"
            )
        ranks = (rank for rank, share in enumerate(ordering.coverage, 1) if share >= self.coverage)
        return min(next(ranks, len(ordering.coverage)), self.high, pool)
