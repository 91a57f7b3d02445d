"""What the answers of a run have cost, and what further answers would cost."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from lightning_badge.labels import Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer, NewAnswer
from lightning_badge.store.changes import ChangeLog
from lightning_badge.store.columns import read_column
from lightning_badge.store.terms import SECOND, Money, Terms, terms_in_force

NOTHING = Decimal(0)


class Log(Protocol):
    """The answers that are read."""

    changes: ChangeLog

    def all_answers(self, *, after: int) -> list[Answer]:
        """Returns the answers behind an ``answer_id``, in the order of commits."""
        ...


class Prices:
    """The terms in force and their prices, read anew whenever a change was committed.

    Args:
        changes: The changes of the label store.
    """

    def __init__(self, changes: ChangeLog) -> None:
        self._changes = changes
        self.terms = Terms()
        self._of_sample: Mapping[str, Decimal] = {}
        self.forget()

    def forget(self) -> None:
        """Forgets what was read; it may not be committed."""
        self._seen: object = self  # no change is equal to it

    def refresh(self) -> bool:
        """Reads the terms, and returns whether they are others than before."""
        newest = self._changes.newest()
        if newest == self._seen:
            return False
        self._seen = newest
        before = self.terms, self._of_sample
        self.terms = terms_in_force(self._changes)
        column = self.terms.money and self.terms.money.column
        values = read_column(self._changes, column) if column else {}
        self._of_sample = {key: Decimal(str(value)) for key, value in values.items()}
        return before != (self.terms, self._of_sample)

    def of(self, sample_id: SampleId) -> Decimal | None:
        """Returns what a label of a sample costs; None if it is not known beforehand."""
        money = self.terms.money
        if money is None or money.per == SECOND:
            return None
        return self._of_sample.get(str(sample_id), money.price)

    def cost(self, answer: NewAnswer | Answer, *, is_first: bool) -> Decimal | None:
        """Returns what an answer costs; None if it has no price.

        Args:
            answer: The answer.
            is_first: Whether its annotator gave the sample no label before.
        """
        if answer.cost is not None:
            return Decimal(str(answer.cost))
        money = self.terms.money
        if money is None:
            return None
        if money.per == SECOND:
            return _of_seconds(money, answer.seconds)
        is_label = not isinstance(answer.label, Skip | Undo)
        return self.of(answer.sample_id) if is_label and is_first else None


class Spending:
    """The costs of all answers of a run, kept up to date from the log.

    The first label that an annotator gives to a sample has a price; a skip, a correction or an
    undone answer has none. What a labeler reports counts in any case.

    Args:
        store: The label store.

    Attributes:
        total: The sum of all costs.
    """

    def __init__(self, store: Log) -> None:
        self._store = store
        self.prices = Prices(store.changes)
        self._seen = 0
        self.total = NOTHING
        self._paid: set[tuple[SampleId, str | None]] = set()
        self._undone: set[tuple[SampleId, str | None]] = set()

    def forget(self) -> None:
        """Forgets all answers; the next ``refresh`` reads them anew."""
        self.prices.forget()
        self._restart()

    def refresh(self) -> None:
        """Takes in the answers and the terms that were committed since the last call."""
        if self.prices.refresh():
            self._restart()
        if self.money is None:
            return
        for answer in self._store.all_answers(after=self._seen):
            self._seen = answer.answer_id
            key = answer.sample_id, answer.annotator
            self.total += self.prices.cost(answer, is_first=key not in self._paid) or NOTHING
            if isinstance(answer.label, Undo):
                self._undone.add(key)
            else:
                self._undone.discard(key)
                if not isinstance(answer.label, Skip):
                    self._paid.add(key)

    @property
    def money(self) -> Money | None:
        """The limit of money in force; None for none."""
        return self.prices.terms.money

    @property
    def remaining(self) -> Decimal:
        """The limit less all costs; below 0 if the limit was lowered below them."""
        assert self.money is not None, "asked for a run with a limit"
        return self.money.limit - self.total

    def price(self, sample_id: SampleId, annotator: str | None) -> Decimal | None:
        """Returns what an annotator's label of a sample would cost; None if it is not known.

        Args:
            sample_id: The sample.
            annotator: Who would give it; None if that is not known.
        """
        return NOTHING if (sample_id, annotator) in self._paid else self.prices.of(sample_id)

    def gives_again(self, annotator: str | None) -> bool:
        """Returns whether an annotator has undone a label that is paid."""
        return any(key in self._paid for key in self._undone if key[1] == annotator)

    def _restart(self) -> None:
        self._seen, self.total = 0, NOTHING
        self._paid.clear()
        self._undone.clear()


def _of_seconds(money: Money, seconds: float | None) -> Decimal | None:
    if seconds is None or money.price is None:
        return None
    return Decimal(str(seconds)) * money.price
