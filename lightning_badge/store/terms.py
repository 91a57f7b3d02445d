"""What must hold while labels are handed out: a limit of money, and a time.

The budget of a run says it, the loop commits it as a row of the label store, and every process
that hands out samples checks it in the transaction of the lease.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from lightning_badge.exceptions import BudgetError
from lightning_badge.store.changes import ChangeLog

TERMS = "terms"
LABEL, SECOND = PER = ("label", "second")


@dataclass(frozen=True)
class Money:
    """A limit of money.

    Attributes:
        limit: The largest sum that answers may cost.
        per: What the price is for: the first ``label`` that an annotator gives to a sample, or a
            ``second`` of an annotator's work.
        price: The price; None if only the labelers report what an answer cost.
        column: Name of the column with the price of each sample; ``price`` holds where it has none.
    """

    limit: Decimal
    per: str = LABEL
    price: Decimal | None = None
    column: str | None = None

    @property
    def is_known_before(self) -> bool:
        """Whether the price of an answer is known when its sample is handed out."""
        return self.per == LABEL and (self.price is not None or self.column is not None)


@dataclass(frozen=True)
class Terms:
    """What must hold while labels are handed out.

    Attributes:
        money: The limit of money; None for none.
        until: No sample is handed out at this time or later; None for no such time.
        at: The deadline, before which the model of the last labels is trained; None for none.
    """

    money: Money | None = None
    until: datetime | None = None
    at: datetime | None = None

    def with_(self, other: "Terms") -> "Terms":
        """Returns the terms under which both hold.

        Raises:
            BudgetError: Both limit money.
        """
        if self.money and other.money:
            raise BudgetError(
                f"budget: expected one limit of money, got {self.money.limit} and "
                f"{other.money.limit}; keep one budget=cost"
            )
        return Terms(
            self.money or other.money,
            min(filter(None, (self.until, other.until)), default=None),
            min(filter(None, (self.at, other.at)), default=None),
        )


def commit_terms(changes: ChangeLog, terms: Terms) -> None:
    """Writes the terms of a run, unless they are in force; call it in a transaction."""
    if terms != terms_in_force(changes):
        changes.write(TERMS, _as_facts(terms))


def terms_in_force(changes: ChangeLog) -> Terms:
    """Returns the latest terms; those without any limit before the first."""
    last = changes.last(TERMS)
    if last is None:
        return Terms()
    money = last.facts["money"]
    return Terms(None if money is None else _money(money), *map(_time, _times(last.facts)))


def _as_facts(terms: Terms) -> dict[str, Any]:
    money = terms.money
    return {
        "money": None
        if money is None
        else {
            "limit": str(money.limit),
            "per": money.per,
            "price": None if money.price is None else str(money.price),
            "column": money.column,
        },
        "until": None if terms.until is None else terms.until.isoformat(),
        "at": None if terms.at is None else terms.at.isoformat(),
    }


def _money(facts: dict[str, Any]) -> Money:
    price = facts["price"]
    return Money(
        Decimal(facts["limit"]),
        facts["per"],
        None if price is None else Decimal(price),
        facts["column"],
    )


def _times(facts: dict[str, Any]) -> tuple[str | None, str | None]:
    return facts["until"], facts["at"]


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
