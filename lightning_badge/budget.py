"""Budgets: how far to walk down the ordering this round.

The ordering does not depend on the budget, so the number may be known as late as the labelers
sit down: a few labels today, thousands tomorrow.
"""

import math
import random
from collections.abc import Sequence, Sized
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol

from lightning_badge.exceptions import BudgetError


class Budget(Protocol):
    """Decides the query size of a round."""

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:
        """Returns how many labels to ask for; 0 ends the run.

        A run that was killed asks again, so the answer may depend on the arguments only.

        Args:
            round: The round, from 0.
            labeled: How many samples had a label when the round began.
            pool: How many samples were in the pool when the round began.
            ordering: The round's ordering, best first; it may be shorter than the pool.
        """
        ...


@dataclass(frozen=True)
class FixedBudget:
    """Asks for ``k`` labels every round, or for the rest of the pool where that is less.

    Example:
        >>> FixedBudget(k=100).query_size(round=0, labeled=20, pool=30, ordering=range(30))
        30
    """

    k: int

    def __post_init__(self) -> None:
        _set(self, k=_positive_int("k", self.k))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns ``k``, or what is left of the pool."""
        return min(self.k, pool)


@dataclass(frozen=True)
class VariableBudget:
    """Asks for a log-uniform number of labels: capacity that runs from a few to thousands.

    Ten to a hundred is as likely as a hundred to a thousand. Never more than the pool holds.

    Args:
        low: The smallest query size.
        high: The largest one, included.
        seed: Together with the round it decides the draw, so a resumed run draws the same.

    Example:
        >>> budget = VariableBudget(low=5, high=2000, seed=0)
        >>> [budget.query_size(round=i, labeled=0, pool=9999, ordering=()) for i in range(4)]
        [166, 15, 86, 34]
    """

    low: int
    high: int
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = _positive_int("low", self.low), _positive_int("high", self.high)
        if low > high:
            raise BudgetError(
                f"budget.low: expected at most budget.high, got low {low} and high {high}; "
                "swap them"
            )
        _set(self, low=low, high=high, seed=_int("seed", self.seed, "an integer"))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns the round's draw, or what is left of the pool."""
        # A str seed goes through SHA-512: neighbouring rounds and seeds share nothing.
        uniform = random.Random(f"{self.seed}:{round}").random()
        drawn = math.floor(self.low * math.pow((self.high + 1) / self.low, uniform))
        return min(max(drawn, self.low), self.high, pool)  # rounding may step outside


@dataclass(frozen=True)
class ScheduleBudget:
    """Asks for ``sizes[round]`` labels, or for the rest of the pool where that is less.

    The schedule is the whole plan: after its last entry the query size is 0, which ends the run.

    Example:
        >>> budget = ScheduleBudget(sizes=[10, 1000])
        >>> [budget.query_size(round=i, labeled=0, pool=9999, ordering=()) for i in range(3)]
        [10, 1000, 0]
    """

    sizes: Sequence[int]

    def __post_init__(self) -> None:
        given: Any = self.sizes  # from a config, where it may be anything
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise BudgetError(
                "budget.sizes: expected a list of positive integers with at least one entry, "
                f"got {given!r} ({type(given).__name__}); write sizes=[10,100,1000]"
            )
        sizes = tuple(_positive_int(f"sizes[{i}]", size) for i, size in enumerate(given))
        _set(self, sizes=sizes)

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:  # noqa: ARG002
        """Returns the round's entry, what is left of the pool, or 0 after the last entry."""
        return min(self.sizes[round], pool) if round < len(self.sizes) else 0


def _positive_int(name: str, value: Any) -> int:
    number = _int(name, value, "a positive integer")
    if number <= 0:
        raise BudgetError(
            f"budget.{name}: expected a positive integer, got {number}; "
            "the smallest query asks for 1 label"
        )
    return number


def _int(name: str, value: Any, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BudgetError(
            f"budget.{name}: expected {expected}, got {value!r} ({type(value).__name__})"
        )
    return int(value)


@dataclass(frozen=True)
class CoverageBudget:
    """Asks for as many labels as it takes to cover a share of the pool's scatter.

    It answers how many labels are worth asking for today: where the pool is all alike few suffice.

    Args:
        coverage: The share, in (0, 1]; see `Ordering`.
        high: The largest query size.

    Example:
        >>> from types import SimpleNamespace
        >>> ordering = SimpleNamespace(coverage=[0.2, 0.4, 0.6, 0.8])
        >>> budget = CoverageBudget(coverage=0.5, high=1000)
        >>> budget.query_size(round=0, labeled=0, pool=4, ordering=ordering)
        3
    """

    coverage: float
    high: int

    def __post_init__(self) -> None:
        _set(self, coverage=_share("coverage", self.coverage))
        _set(self, high=_positive_int("high", self.high))

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Any) -> int:  # noqa: ARG002
        """Returns the first number of ranks that reaches the coverage.

        Raises:
            BudgetError: An ordering without coverage.
        """
        if ordering.coverage is None:
            raise BudgetError(
                "budget=coverage: this ordering has no coverage; use a strategy that measures it, "
                "such as badge, or another budget"
            )
        ranks = (rank for rank, share in enumerate(ordering.coverage, 1) if share >= self.coverage)
        return min(next(ranks, len(ordering.coverage)), self.high, pool)


def _set(budget: Any, **fields: Any) -> None:
    """Replaces fields of a frozen budget by plain values while it is built."""
    for name, value in fields.items():
        object.__setattr__(budget, name, value)


def _share(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < float(value) <= 1.0:
        raise BudgetError(f"budget.{name}: expected a share in (0, 1], got {value!r}")
    return float(value)
