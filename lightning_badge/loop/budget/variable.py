"""A budget whose query size varies from round to round, as labeling capacity does."""

import math
import random
from collections.abc import Sized
from dataclasses import dataclass
from typing import ClassVar

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget.base import checked_int, positive_int, set_fields


@dataclass(frozen=True)
class VariableBudget:
    """Asks for a number of labels drawn from a log-uniform distribution.

    10 to 100 labels are as likely as 100 to 1000. The number never exceeds the size of the pool.

    Args:
        low: The smallest query size.
        high: The largest query size, included.
        seed: The draw depends on seed and round alone, so a resumed run draws the same number.

    Example:
        >>> budget = VariableBudget(low=5, high=2000, seed=0)
        >>> [budget.query_size(round=i, labeled=0, pool=9999, ordering=()) for i in range(4)]
        [166, 15, 86, 34]
    """

    needs_ordering: ClassVar[bool] = False

    low: int
    high: int
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = positive_int("low", self.low), positive_int("high", self.high)
        if low > high:
            raise BudgetError(
                f"budget.low: expected at most budget.high, got low {low} and high {high}; "
                "swap them"
            )
        set_fields(self, low=low, high=high, seed=checked_int("seed", self.seed, "an integer"))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns the round's draw, at most the size of the pool."""
        # `random` hashes a str seed with SHA-512, so neighbouring rounds and seeds are independent.
        uniform = random.Random(f"{self.seed}:{round}").random()
        drawn = math.floor(self.low * math.pow((self.high + 1) / self.low, uniform))
        return min(max(drawn, self.low), self.high, pool)  # rounding may leave [low, high]
