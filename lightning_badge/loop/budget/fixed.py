"""A budget that asks for the same number of labels every round."""

from collections.abc import Sized
from dataclasses import dataclass
from typing import ClassVar

from lightning_badge.loop.budget.base import positive_int, set_fields


@dataclass(frozen=True)
class FixedBudget:
    """Asks for ``k`` labels every round, or for the whole pool if it is smaller.

    Example:
        >>> FixedBudget(k=100).query_size(round=0, labeled=20, pool=30, ordering=range(30))
        30
    """

    needs_ordering: ClassVar[bool] = False

    k: int

    def __post_init__(self) -> None:
        set_fields(self, k=positive_int("k", self.k))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns ``k``, at most the size of the pool."""
        return min(self.k, pool)
