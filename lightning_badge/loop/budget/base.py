"""The budget protocol and the argument checks that budgets share."""

from collections.abc import Sized
from numbers import Integral, Real
from typing import Any, Protocol

from lightning_badge.exceptions import BudgetError


class Received(Protocol):
    """What a round has received since the cut of its training.

    Attributes:
        new_labels: Number of samples with a new or another label, without validation samples.
        oldest_s: Seconds since the oldest of these labels came; None without any.
    """

    @property
    def new_labels(self) -> int:
        """As above."""
        ...

    @property
    def oldest_s(self) -> float | None:
        """As above."""
        ...


class Budget(Protocol):
    """Decides the query size of a round.

    A budget that also has ``is_complete(received: Received) -> bool`` sets no size: it ends a round
    by what was received, and ``query_size`` is the size of the pool.

    A budget with ``needs_ordering = False`` does not look at the ordering. Then people go on
    labeling while the next model is trained; otherwise they wait for its ordering.
    """

    def query_size(self, *, round: int, labeled: int, pool: int, ordering: Sized) -> int:
        """Returns how many labels to ask for; 0 ends the run.

        A restarted run calls this again, so the result may depend on the arguments only.

        Args:
            round: The round, from 0.
            labeled: Number of labeled samples when the round began.
            pool: Number of samples in the pool when the round began.
            ordering: The round's ordering, best first; it may be shorter than the pool.
        """
        ...


def positive_int(name: str, value: Any) -> int:
    """Returns a positive integer, or raises a BudgetError that names the setting."""
    number = checked_int(name, value, "a positive integer")
    if number <= 0:
        raise BudgetError(
            f"budget.{name}: expected a positive integer, got {number}; "
            "the smallest query asks for 1 label"
        )
    return number


def checked_int(name: str, value: Any, expected: str) -> int:
    """Returns a plain int, or raises a BudgetError that says what was expected."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise BudgetError(
            f"budget.{name}: expected {expected}, got {value!r} ({type(value).__name__})"
        )
    return int(value)


def checked_share(name: str, value: object) -> float:
    """Returns a float in (0, 1], or raises a BudgetError that names the setting."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0.0 < float(value) <= 1.0:
        raise BudgetError(f"budget.{name}: expected a share in (0, 1], got {value!r}")
    return float(value)


def set_fields(budget: Any, **fields: Any) -> None:
    """Replaces fields of a frozen budget with checked values in ``__post_init__``."""
    for name, value in fields.items():
        object.__setattr__(budget, name, value)
