"""A budget with a listed query size for each round."""

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from typing import Any, ClassVar

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget.base import positive_int, set_fields


@dataclass(frozen=True)
class ScheduleBudget:
    """Asks for ``sizes[round]`` labels, or for the whole pool if it is smaller.

    After the last entry the query size is 0, which ends the run.

    Example:
        >>> budget = ScheduleBudget(sizes=[10, 1000])
        >>> [budget.query_size(round=i, labeled=0, pool=9999, ordering=()) for i in range(3)]
        [10, 1000, 0]
    """

    needs_ordering: ClassVar[bool] = False

    sizes: Sequence[int]

    def __post_init__(self) -> None:
        given: Any = self.sizes  # comes from a config, so its type is not known
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise BudgetError(
                "budget.sizes: expected a list of positive integers with at least one entry, "
                f"got {given!r} ({type(given).__name__}); write sizes=[10,100,1000]"
            )
        sizes = tuple(positive_int(f"sizes[{i}]", size) for i, size in enumerate(given))
        set_fields(self, sizes=sizes)

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns the round's entry, at most the size of the pool; 0 after the last entry."""
        return min(self.sizes[round], pool) if round < len(self.sizes) else 0
