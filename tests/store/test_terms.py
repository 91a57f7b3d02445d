"""Money and deadlines hold in the transaction that hands samples out, for every labeler."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_badge.exceptions import BudgetError
from lightning_badge.labels import SKIP, UNDO
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.columns import write_column
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.leases import annotator_of, session_of
from lightning_badge.store.next_sample import Query
from lightning_badge.store.spending import Spending
from lightning_badge.store.terms import SECOND, Money, Terms, commit_terms, terms_in_force

NOON = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def store() -> Any:
    with LabelStore(":memory:") as store:
        yield store


def set_terms(store: LabelStore, terms: Terms) -> None:
    with store.leases.transaction():
        commit_terms(store.changes, terms)


def limit(store: LabelStore, limit: Any, price: Any = "1", **arguments: Any) -> None:
    price = None if price is None else Decimal(price)
    set_terms(store, Terms(Money(Decimal(limit), price=price, **arguments)))


def publish(store: LabelStore, count: int = 10, **arguments: Any) -> Query:
    query = Query(store, store.cut(0), Ordering(np.arange(count)), **arguments)
    query.allow(None)
    return query


def ids(offers: Any) -> list[int]:
    return [offer.sample_id for offer in offers]


def spent(store: LabelStore) -> Decimal:
    spending = Spending(store)
    spending.refresh()
    return spending.total


def test_terms_are_read_as_they_were_written(store: LabelStore) -> None:
    assert terms_in_force(store.changes) == Terms()
    terms = Terms(Money(Decimal("9.99"), SECOND, Decimal("0.001"), "price"), NOON, NOON)
    for _ in range(2):
        set_terms(store, terms)
        assert terms_in_force(store.changes) == terms
    assert len(store.changes.of("terms")) == 1


def test_of_two_deadlines_the_earlier_one_holds_and_two_limits_are_refused() -> None:
    later = Terms(until=NOON + timedelta(hours=1), at=NOON + timedelta(hours=2))
    money = Terms(Money(Decimal(5)))
    assert Terms(until=NOON).with_(later).with_(money) == Terms(Money(Decimal(5)), NOON, later.at)
    with pytest.raises(BudgetError, match="expected one limit of money"):
        money.with_(money)


def test_leases_are_paid_before_they_are_answered(store: LabelStore) -> None:
    limit(store, "2.5")
    query = publish(store)
    assert ids(query.lease("a", 1)) == [0]
    assert ids(query.lease("b", 5)) == [1]
    assert query.lease("c", 5) == []
    query.release("b")
    assert ids(query.lease("c", 5)) == [1]
    assert query.left() == 2
    assert query.closed() is None


def test_every_price_is_committed_with_its_answer(store: LabelStore) -> None:
    limit(store, 10, "0.1")
    store.record(0, [(0, 1), (1, SKIP), (0, 2), (0, UNDO), (0, 1)], annotator="ann")
    store.add([NewAnswer(0, 1, "bob", 0), NewAnswer(1, SKIP, "service", 0, cost=0.07)])
    limit(store, 10, "0.5")
    store.record(0, [(5, 1)], annotator="ann")
    assert [a.cost for a in store.answers()] == [0.1, *[None] * 4, 0.1, 0.07, 0.5]
    assert spent(store) == Decimal("0.77")


def test_answers_of_the_time_before_the_limit_count_at_its_price(store: LabelStore) -> None:
    store.record(0, [(0, 1), (1, SKIP), (2, 1)], annotator="ann")
    limit(store, 3)
    assert spent(store) == 2
    assert ids(publish(store).lease("a", 5)) == [3]


def test_lowering_the_limit_below_the_spend_stops_and_raising_it_resumes(
    store: LabelStore,
) -> None:
    limit(store, 3)
    query = publish(store)
    (held, *_) = query.lease("a", 2)
    query.answer("a", [NewAnswer(held.sample_id, 1, "a", 0)], 0, annotator="a")
    limit(store, "0.5")
    assert query.left() == 0
    assert ids(query.lease("a", 5)) == [1]  # what is leased stays
    assert query.lease("b", 5) == []
    assert query.closed() == "the money is used up: 1 of 0.50"
    assert query.peek(5) == []
    limit(store, 4)
    assert ids(query.lease("b", 5)) == [2, 3]
    assert query.closed() is None


def test_seconds_are_paid_one_lease_a_labeler(store: LabelStore) -> None:
    limit(store, 1, "0.01", per=SECOND)
    query = publish(store)
    assert ids(query.lease(session_of("ann", "1"), 5, annotator="ann")) == [0]
    assert query.lease(session_of("ann", "2"), 5, annotator="ann") == []
    assert ids(query.lease("bob", 5)) == [1]
    store.add([NewAnswer(0, SKIP, "ann", 0, seconds=60), NewAnswer(1, 1, "bob", 0, seconds=39)])
    assert spent(store) == Decimal("0.99")
    assert query.remains() == "0.01 of 1 left (0.01 a second)"
    assert ids(query.lease("bob", 5)) == [2]
    store.add([NewAnswer(2, 1, "bob", 0, seconds=1)])
    assert query.lease("bob", 5) == []
    assert query.closed() == "the money is used up: 1 of 1"


def test_prices_that_only_the_service_knows_are_paid_one_lease_at_a_time(
    store: LabelStore,
) -> None:
    limit(store, 1, None)
    query = publish(store)
    for number, cost in enumerate((0.5, 0.5)):
        assert ids(query.lease("service", 5)) == [number]
        store.add([NewAnswer(number, 1, "service", 0, cost=cost)])
    assert query.lease("service", 5) == []


def test_a_column_prices_each_sample(store: LabelStore) -> None:
    with store.leases.transaction():
        write_column(store.changes, "price", {"0": 2, "1": 5, "2": 0.5, "4": 1})
    limit(store, 4, None, column="price")
    query = publish(store)
    # 1 is too expensive, 3 has no price.
    assert ids(query.lease("a", 5)) == [0, 2, 4]
    store.record(0, [(0, 1), (2, 1), (4, 1)], annotator="a")
    assert spent(store) == Decimal("3.5")
    assert query.closed() == "the money is used up: 3.50 of 4"
    limit(store, 4, "0.25", column="price")
    assert ids(query.lease("a", 5)) == [3, 5]


def test_an_undone_label_is_not_paid_again(store: LabelStore) -> None:
    limit(store, 1)
    query = publish(store)
    query.lease("a", 1)
    query.answer("a", [NewAnswer(0, 1, "a", 0)], 1, annotator="a")
    undone = query.answer("a", [NewAnswer(0, UNDO, "a", 0)], 1, annotator="a")
    assert ids(undone.offers) == [0]
    query.release("a")
    assert query.lease("b", 1) == []
    assert ids(query.lease("a", 5)) == [0]


def test_validation_samples_cost_as_others(store: LabelStore) -> None:
    limit(store, 3)
    assert ids(publish(store, validation=[20, 21]).peek(99)) == [0, 1, 20]


def test_no_lease_after_the_deadline(store: LabelStore) -> None:
    now = NOON.timestamp()
    set_terms(store, Terms(until=NOON, at=NOON + timedelta(hours=1)))
    clock = [now - 1]
    query = publish(store, clock=lambda: clock[0])
    assert ids(query.lease("a", 1)) == [0]
    assert query.left() > 0
    clock[0] = now
    assert query.lease("b", 1) == []
    assert ids(query.lease("a", 2)) == [0]
    assert store.leases.unexpired(now + 599) == {}  # it is not prolonged
    assert (query.left(), query.peek(5)) == (0, [])
    assert query.closed() == "the deadline 2026-03-02 13:00+00:00 is near"
    assert query.remains() == "labels until 2026-03-02 12:00+00:00"


def test_another_process_sees_a_change_at_once(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as ours, LabelStore(tmp_path / "labels.db") as theirs:
        query = publish(ours)
        assert ids(query.lease("a", 1)) == [0]
        limit(theirs, 0)
        assert query.lease("b", 1) == []


@dataclass
class Market:
    """Labelers of all kinds with a limit of money; a lease that expired is not answered."""

    seed: int
    now: float = 0.0
    held: dict[str, dict[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.store = LabelStore(":memory:")
        self.has_column = self.draw.random() < 0.5
        self.price = Decimal(self.draw.randrange(1, 200)) / 100
        if self.has_column:
            prices = {str(n): self.draw.randrange(1, 300) / 100 for n in range(60)}
            with self.store.leases.transaction():
                write_column(self.store.changes, "price", prices)
        self.limit = self.highest = Decimal(0)
        self.change_limit()
        self.query = publish(
            self.store, 60, overlap=self.draw.choice((1, 1, 2)), clock=lambda: self.now
        )
        names = [session_of("ann", "1"), session_of("ann", "2"), "bob", "eve"]
        self.held = {name: {} for name in names}

    def change_limit(self) -> None:
        self.limit = Decimal(self.draw.randrange(0, 4000)) / 100
        column = "price" if self.has_column else None
        limit(self.store, self.limit, self.price, column=column)
        self.highest = max(self.highest, self.limit)

    def lease(self, session: str) -> None:
        count = self.draw.randrange(1, 9)
        seconds = self.draw.choice((5.0, 50.0))
        who = annotator_of(session)
        leases = self.store.leases.unexpired(self.now).items()
        before = {key for key, sessions in leases if session in sessions}
        offers = self.query.lease(session, count, annotator=who, seconds=seconds)
        self.held[session] |= dict.fromkeys(ids(offers), self.now + seconds)
        spending = Spending(self.store)
        spending.refresh()
        if any(spending.price(key, who) for key in set(ids(offers)) - before):
            assert spending.total + self.reserved(spending) <= self.limit

    def reserved(self, spending: Spending) -> Decimal:
        return sum(
            (
                spending.price(sample_id, annotator_of(session)) or Decimal(0)
                for sample_id, sessions in self.store.leases.unexpired(self.now).items()
                for session in sessions
            ),
            Decimal(0),
        )

    def answer(self, session: str) -> None:
        who = annotator_of(session)
        open_ones = [key for key, end in self.held[session].items() if end > self.now]
        chosen = self.draw.sample(open_ones, min(len(open_ones), self.draw.randrange(0, 4)))
        given = [NewAnswer(key, self.draw.choice((0, 1, SKIP)), who, 0) for key in chosen]
        if self.draw.random() < 0.2:
            mine = [a.sample_id for a in self.store.answers() if a.annotator == who]
            given += [NewAnswer(key, UNDO, who, 0) for key in mine[:1] if key not in chosen]
        count = self.draw.randrange(0, 4)
        answered = self.query.answer(session, given, count, annotator=who, seconds=30.0)
        for key, outcome in zip((a.sample_id for a in given), answered.outcomes, strict=True):
            if outcome is True:
                self.held[session].pop(key, None)
        self.held[session] |= dict.fromkeys(ids(answered.offers), self.now + 30.0)

    def release(self, session: str) -> None:
        self.query.release(session)
        self.held[session] = {}

    def step(self) -> None:
        self.now += self.draw.random() * 4
        session = self.draw.choice(list(self.held))
        if self.draw.random() < 0.05:
            self.change_limit()
        self.draw.choice((self.lease, self.answer, self.answer, self.release))(session)
        assert spent(self.store) <= self.highest


@pytest.mark.parametrize(
    "seeds", [range(50), pytest.param(range(50, 1000), marks=pytest.mark.long)], ids=["50", "1000"]
)
def test_money_is_never_overspent(seeds: range) -> None:
    used_up = 0
    for seed in seeds:
        market = Market(seed)
        for _ in range(60):
            market.step()
        used_up += market.query.closed() is not None
        market.store.close()
    assert used_up >= len(seeds) // 10
