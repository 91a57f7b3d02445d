"""A budget in money."""

from collections.abc import Sized
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget.base import (
    Received,
    checked_number,
    optional_int,
    set_fields,
    size_or_pool,
)
from lightning_badge.store.terms import PER, SECOND, Money, Terms


@dataclass(frozen=True)
class CostBudget:
    """Asks for labels until a sum of money is used up.

    Every lease is paid for before it is granted: costs so far and those of open leases stay within
    the limit. Where the price is not known before the answer, an annotator gets one sample at a
    time, and none once the limit is reached.

    Args:
        limit: The sum, for the whole run.
        k: Number of labels in a round; None takes all that the money pays for.
        per: What ``price`` is for: a ``label`` or a ``second`` of work.
        price: The price; None if the labelers report what an answer cost, as a service does.
        column: A column with the price of each sample; ``price`` holds where it has no value.
        table: The CSV, JSON Lines or Parquet file that has the column; None for that of the data.

    Example:
        >>> budget = CostBudget(limit=100, price=0.08, k=50)
        >>> budget.query_size(round=0, labeled=0, pool=30, ordering=())
        30
    """

    needs_ordering: ClassVar[bool] = False

    limit: float
    k: int | None = None
    per: str = "label"
    price: float | None = None
    column: str | None = None
    table: str | None = None

    def __post_init__(self) -> None:
        set_fields(self, limit=checked_number("limit", self.limit, "a sum of 0 or more"))
        set_fields(self, k=optional_int("k", self.k))
        if self.per not in PER:
            raise BudgetError(f"budget.per: expected {' or '.join(PER)}, got {self.per!r}")
        if self.price is not None:
            price = checked_number("price", self.price, "a number of 0 or more, or null")
            set_fields(self, price=price)
        for name in ("column", "table"):
            value: Any = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise BudgetError(f"budget.{name}: expected a name, or null, got {value!r}")
        if self.per == SECOND and self.column is not None:
            raise BudgetError(
                f"budget.column: expected null with per=second, got {self.column!r}; a column says "
                "what a label costs"
            )
        if self.table is not None and self.column is None:
            raise BudgetError(f"budget.table={self.table}: expected budget.column too")

    @property
    def has_size(self) -> bool:
        """Whether a round has a number of labels."""
        return self.k is not None

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns ``k``, at most the size of the pool."""
        return size_or_pool(self.k, pool)

    def is_complete(self, received: Received) -> bool:
        """Returns whether the money is spent to the last cent; the loop sees what is too little."""
        return received.money >= self.limit

    def terms(self, *, training_s: float) -> Terms:  # noqa: ARG002 - for all budgets alike
        """Returns the limit, which holds for every lease."""
        price = None if self.price is None else Decimal(str(self.price))
        return Terms(Money(Decimal(str(self.limit)), self.per, price, self.column))
