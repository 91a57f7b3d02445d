"""What the terms of a run permit to hand out."""

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal

from lightning_badge.sample_ids import SampleId
from lightning_badge.store.leases import annotator_of
from lightning_badge.store.spending import NOTHING, Log, Spending
from lightning_badge.store.terms import Money, Terms


class Purse:
    """The money that is left for further leases, in the transaction that grants them.

    Args:
        spending: The costs so far.
        leased: Samples and sessions of leases whose answer has not come.
    """

    def __init__(self, spending: Spending, leased: Iterable[tuple[SampleId, str]] = ()) -> None:
        self._spending = spending
        self._holders = {annotator_of(session) for _, session in leased}
        self._left = spending.remaining if spending.money else NOTHING
        for sample_id, session in leased if spending.money else ():
            self._left -= spending.price(sample_id, annotator_of(session)) or NOTHING

    def is_empty(self, annotator: str | None) -> bool:
        """Returns whether it pays for no further label of an annotator."""
        money = self._spending.money
        if money is None or self._spending.gives_again(annotator):
            return False
        if money.is_known_before and money.column is None:
            assert money.price is not None, "known without a column"
            return self._left < money.price
        return self._left <= 0

    def pays(self, sample_id: SampleId, annotator: str | None) -> bool:
        """Takes out the price of a label, and returns whether there was enough.

        Where the price is not known beforehand, an annotator gets one sample at a time.

        Args:
            sample_id: The sample.
            annotator: Who will answer; None if that is not known.
        """
        money = self._spending.money
        if money is None:
            return True
        price = self._spending.price(sample_id, annotator)
        if price is not None:
            if price and price > self._left:  # what costs nothing is always paid
                return False
            self._left -= price
            return True
        if money.is_known_before or self._left <= 0 or annotator in self._holders:
            return False
        if annotator is not None:
            self._holders.add(annotator)
        return True


class Gate:
    """Whether the terms of a run permit to hand out samples, and how many.

    Args:
        store: The label store.
    """

    def __init__(self, store: Log) -> None:
        self.spending = Spending(store)

    @property
    def terms(self) -> Terms:
        """The terms in force."""
        return self.spending.prices.terms

    def purse(
        self, leases: Mapping[SampleId, set[str]], answered: Mapping[SampleId, Iterable[str]]
    ) -> Purse:
        """Returns the money for further leases.

        Args:
            leases: The sessions that hold each leased sample.
            answered: The annotators who have answered each of these samples.
        """
        leased = [
            (sample_id, session)
            for sample_id, sessions in leases.items()
            for session in sessions
            if annotator_of(session) not in answered.get(sample_id, ())
        ]
        return Purse(self.spending, leased)

    def is_over(self, now: float) -> bool:
        """Returns whether it is too late to hand out anything.

        Args:
            now: The time in seconds since 1970.
        """
        until = self.terms.until
        return until is not None and now >= until.timestamp()

    def left(self, now: float) -> float:
        """Returns for how many labels the money lasts, leases not counted; 0 after the deadline."""
        money = self.spending.money
        if self.is_over(now):
            return 0
        if money is None:
            return math.inf
        remaining = self.spending.remaining
        if money.is_known_before and money.column is None and money.price:
            return max(0, int(remaining / money.price))
        return math.inf if remaining > 0 else 0

    def closed(self, now: float, open_samples: Iterable[SampleId]) -> str | None:
        """Returns why nothing more may be handed out; None if something may.

        Args:
            now: The time in seconds since 1970.
            open_samples: The samples that need an answer.
        """
        if self.is_over(now):
            return f"the deadline {shown_time(self.terms.at or self.terms.until)} is near"
        money = self.spending.money
        if money is None:
            return None
        purse = Purse(self.spending)
        if not purse.is_empty(None) and any(purse.pays(key, None) for key in open_samples):
            return None
        return f"the money is used up: {amount(self.spending.total)} of {amount(money.limit)}"

    def remains(self) -> str | None:
        """Returns one line that says what remains; None without terms."""
        parts = []
        if money := self.spending.money:
            left = amount(max(self.spending.remaining, NOTHING))
            parts.append(f"{left} of {amount(money.limit)} left{_per(money)}")
        if self.terms.until:
            parts.append(f"labels until {shown_time(self.terms.until)}")
        return ", ".join(parts) or None


def amount(money: Decimal) -> str:
    """Returns a sum of money as text, with two decimals or as many as it has.

    Example:
        >>> amount(Decimal("12.5")), amount(Decimal("0.0035")), amount(Decimal("1200"))
        ('12.50', '0.0035', '1,200')
    """
    if money == money.to_integral_value():
        return f"{money:,.0f}"
    cents = money.quantize(Decimal("0.01"))
    return f"{cents:,}" if cents == money else f"{money.normalize():,f}"


def shown_time(time: datetime | None) -> str:
    """Returns a time as text, to the minute."""
    assert time is not None, "asked for a deadline"
    return time.isoformat(" ", "minutes")


def local(now: float) -> datetime:
    """Returns a time in seconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(now, timezone.utc)


def _per(money: Money) -> str:
    if money.column is not None:
        return f" (prices: column {money.column})"
    return "" if money.price is None else f" ({amount(money.price)} a {money.per})"
