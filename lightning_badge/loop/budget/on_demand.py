"""A budget without a size: trains again as soon as there is enough to learn from."""

from collections.abc import Sized
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget.base import Received, positive_int, set_fields


@dataclass(frozen=True)
class OnDemandBudget:
    """Ends a round when enough labels came since the cut of its training, or when one waits long.

    The size of a round is what people managed while the model was trained and since then.

    Args:
        at_least: Number of new labels that ends a round. Validation samples do not count.
        at_most_old: Seconds after which a single new label ends a round; None for no limit.

    Example:
        >>> from types import SimpleNamespace
        >>> budget = OnDemandBudget(at_least=20, at_most_old=60)
        >>> budget.is_complete(SimpleNamespace(new_labels=3, oldest_s=61.0))
        True
    """

    needs_ordering: ClassVar[bool] = False

    at_least: int
    at_most_old: float | None = None

    def __post_init__(self) -> None:
        set_fields(self, at_least=positive_int("at_least", self.at_least))
        seconds: Any = self.at_most_old
        is_number = isinstance(seconds, Real) and not isinstance(seconds, bool)
        if seconds is not None and not (is_number and seconds > 0):
            raise BudgetError(
                "budget.at_most_old: expected a positive number of seconds, or null for no limit, "
                f"got {seconds!r}"
            )

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns the size of the pool: people may label as much as they like."""
        return pool

    def is_complete(self, received: Received) -> bool:
        """Returns whether the round ends with the labels received."""
        if received.new_labels >= self.at_least:
            return True
        age = received.oldest_s
        return age is not None and self.at_most_old is not None and age >= self.at_most_old
