"""The budget protocol and the argument checks that budgets share."""

import math
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from numbers import Integral, Real
from typing import Any, Protocol

from lightning_badge.exceptions import BudgetError
from lightning_badge.store.terms import Terms


class Received(Protocol):
    """What a round has received since the cut of its training, and what the clock says.

    Attributes:
        labels: Number of samples that have a label now and had none, without validation samples.
        new_labels: Number of samples with a new or another label, without validation samples.
        oldest_s: Seconds since the oldest of these labels came; None without any.
        seconds: Time that labelers spent on their answers.
        money: What all answers of the run have cost; 0 where the run has no limit of money.
        arrivals: Number of samples that were added.
        now: The time.
        began: The arguments of ``query_size`` in this round, by name.
    """

    @property
    def labels(self) -> int:
        """As above."""
        ...

    @property
    def new_labels(self) -> int:
        """As above."""
        ...

    @property
    def oldest_s(self) -> float | None:
        """As above."""
        ...

    @property
    def seconds(self) -> float:
        """As above."""
        ...

    @property
    def money(self) -> float:
        """As above."""
        ...

    @property
    def arrivals(self) -> int:
        """As above."""
        ...

    @property
    def now(self) -> datetime:
        """As above."""
        ...

    @property
    def began(self) -> Mapping[str, Any]:
        """As above."""
        ...


@dataclass(frozen=True)
class TrainedRound:
    """A round whose model is trained.

    Attributes:
        labeled: Number of labels that it was trained on.
        value: The metric; NaN without validation data.
        seconds: Time of training, validation and ordering.
        gain: Mean gain of the first ranks of its ordering; None if it has no gains.
    """

    labeled: int
    value: float
    seconds: float
    gain: float | None = None


@dataclass(frozen=True)
class Past:
    """What a budget may see when it decides whether a run goes on.

    Attributes:
        rounds: The trained rounds, the latest one last.
        now: The time.
    """

    rounds: Sequence[TrainedRound]
    now: datetime

    @property
    def training_s(self) -> float:
        """The longest time of a round so far; 0 before the first."""
        return max((it.seconds for it in self.rounds if it.seconds >= 0), default=0.0)

    def later(self, seconds: float) -> "Past":
        """Returns the same some time later."""
        return replace(self, now=self.now + timedelta(seconds=seconds))


class Budget(Protocol):
    """Decides the query size of a round.

    Further methods are optional:

    - ``is_complete(received: Received) -> bool``: whether the round ends with what was received.
      Such a budget sets no size, and ``query_size`` is the size of the pool, unless it has an
      attribute ``has_size`` that is true.
    - ``reached(past: Past) -> str | None``: why the run asks for no more labels; None if it goes
      on.
    - ``terms(*, training_s: float) -> Terms``: what must hold while labels are handed out, also
      while a model is trained, which takes that time. The label store keeps them.

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


def size_or_pool(k: int | None, pool: int) -> int:
    """Returns ``k``, at most the size of the pool; the size of the pool without ``k``."""
    return pool if k is None else min(k, pool)


def optional_int(name: str, value: Any) -> int | None:
    """Returns a positive integer or None, or raises a BudgetError that names the setting."""
    return None if value is None else positive_int(name, value)


def checked_number(name: str, value: Any, expected: str, *, least: float = 0.0) -> float:
    """Returns a finite number, or raises a BudgetError that says what was expected."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < least:
        raise BudgetError(f"budget.{name}: expected {expected}, got {value!r}")
    return float(value)


def has_size(budget: Any) -> bool:
    """Returns whether a budget sets the size of a query, and not only a rule that ends it."""
    return bool(getattr(budget, "has_size", not hasattr(budget, "is_complete")))


def needs_ordering(budget: Any) -> bool:
    """Returns whether the query size depends on the round's ordering; if a budget does not say so.

    Then nobody knows it before the round is trained.
    """
    return bool(getattr(budget, "needs_ordering", True))


def named_parts(name: str, parts: Any) -> dict[str, Any]:
    """Returns the budgets that another one consists of, or raises a BudgetError."""
    given = parts if isinstance(parts, Mapping) else {}
    kept = {str(key): part for key, part in given.items() if part is not None}
    if not kept or not all(hasattr(part, "query_size") for part in kept.values()):
        raise BudgetError(
            f"budget={name}: expected budgets by name, got {parts!r}; write "
            f"budget={name} +budget@budget.of.money=cost"
        )
    return kept


def needs_any_ordering(parts: Mapping[str, Any]) -> bool:
    """Returns whether one of several budgets needs the ordering of the round."""
    return any(map(needs_ordering, parts.values()))


def is_complete_part(budget: Any, received: Received) -> bool:
    """Returns whether one of several budgets ends the round."""
    if has_size(budget) and received.labels >= budget.query_size(**received.began):
        return True
    rule = getattr(budget, "is_complete", None)
    return rule is not None and bool(rule(received))


def reached(budget: Any, past: Past) -> str | None:
    """Returns why a budget asks for no more labels; None if it does, or never ends a run."""
    rule = getattr(budget, "reached", None)
    return None if rule is None else rule(past)


def reasons(parts: Mapping[str, Any], past: Past) -> list[str | None]:
    """Returns why each of several budgets asks for no more labels."""
    return [reached(part, past) for part in parts.values()]


def terms_of(budget: Any, training_s: float) -> Terms:
    """Returns what a budget says must hold while labels are handed out."""
    terms = getattr(budget, "terms", None)
    return Terms() if terms is None else terms(training_s=training_s)


def terms_of_parts(parts: Mapping[str, Any], training_s: float) -> Terms:
    """Returns the terms under which those of several budgets hold.

    Raises:
        BudgetError: Two of them limit money.
    """
    together = Terms()
    for part in parts.values():
        together = together.with_(terms_of(part, training_s))
    return together


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
