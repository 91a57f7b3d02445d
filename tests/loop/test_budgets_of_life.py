"""Budgets in money, until a deadline or a metric, and of several, each for itself."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget import (
    AllOfBudget,
    AnyOfBudget,
    CostBudget,
    CoverageBudget,
    DeadlineBudget,
    FixedBudget,
    OnDemandBudget,
    ScheduleBudget,
    UntilBudget,
)
from lightning_badge.loop.budget.base import (
    Past,
    TrainedRound,
    has_size,
    needs_ordering,
    reached,
    terms_of,
)
from lightning_badge.store.budget_changes import differences, in_words, settings
from lightning_badge.store.terms import SECOND, Money, Terms

NOON = datetime(2026, 12, 1, 12, tzinfo=timezone.utc)
BEGAN = {"round": 0, "labeled": 5, "pool": 40, "ordering": range(40)}


def size(budget: Any, **changed: Any) -> int:
    return budget.query_size(**{**BEGAN, **changed})


def received(**facts: Any) -> Any:
    none = {"labels": 0, "new_labels": 0, "oldest_s": None, "money": 0.0, "now": NOON}
    return SimpleNamespace(**{**none, "began": BEGAN, **facts})


def past(*values: float, gains: Any = (), seconds: float = 60.0) -> Past:
    gains = [*gains, *[None] * (len(values) - len(gains))]
    rounds = [TrainedRound(5, v, seconds, g) for v, g in zip(values, gains, strict=True)]
    return Past(rounds, NOON)


class TestCost:
    def test_its_terms_are_exact_sums_of_money(self) -> None:
        budget = CostBudget(limit=0.3, price=0.1, k=7)
        assert budget.terms(training_s=9.0) == Terms(Money(Decimal("0.3"), price=Decimal("0.1")))
        by_time = CostBudget(limit=9, per="second", price=0.002).terms(training_s=0.0)
        assert by_time == Terms(Money(Decimal("9.0"), SECOND, Decimal("0.002")))

    def test_a_round_has_a_size_or_takes_all_that_is_paid(self) -> None:
        assert [size(CostBudget(limit=9, k=7)), size(CostBudget(limit=9))] == [7, 40]
        assert [has_size(CostBudget(limit=9, k=7)), has_size(CostBudget(limit=9))] == [True, False]
        assert CostBudget(limit=9).is_complete(received(money=9.0))
        assert not CostBudget(limit=9).is_complete(received(money=8.99))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"limit": -1}, r"budget\.limit: expected a sum of 0 or more, got -1"),
            ({"limit": True}, r"budget\.limit: expected a sum"),
            ({"limit": float("inf")}, r"budget\.limit: expected a sum"),
            ({"price": "cheap"}, r"budget\.price: expected a number of 0 or more, or null"),
            ({"per": "hour"}, r"budget\.per: expected label or second, got 'hour'"),
            ({"k": 0}, r"budget\.k: expected a positive integer"),
            ({"column": 3}, r"budget\.column: expected a name, or null, got 3"),
            ({"per": "second", "column": "price"}, "expected null with per=second"),
            ({"table": "prices.csv"}, r"expected budget\.column too"),
        ],
    )
    def test_a_value_that_is_not_valid_is_named(self, arguments: Any, message: str) -> None:
        with pytest.raises(BudgetError, match=message):
            CostBudget(**{"limit": 9, **arguments})


class TestDeadline:
    def test_labels_come_until_a_training_would_end_too_late(self) -> None:
        budget = DeadlineBudget(at="2026-12-01T14:00+01:00", spare_s=30, k=5)
        at = NOON + timedelta(hours=1)
        terms = budget.terms(training_s=600.0)
        assert terms == Terms(until=at - timedelta(seconds=630), at=at)
        assert size(budget) == 5

    @given(st.integers(0, 9000), st.integers(0, 9000))
    def test_it_ends_the_run_exactly_when_its_terms_end(self, minutes: int, seconds: int) -> None:
        budget = DeadlineBudget(at=(NOON + timedelta(minutes=minutes)).isoformat())
        before = past(0.5, 0.6, seconds=seconds)
        until = budget.terms(training_s=before.training_s).until
        assert until is not None
        assert (budget.reached(before) is not None) == (until <= NOON)

    def test_a_time_without_an_offset_needs_a_zone(self) -> None:
        in_berlin = DeadlineBudget(at="2026-07-01 14:00", zone="Europe/Berlin")
        assert in_berlin.terms(training_s=0.0).at == datetime(2026, 7, 1, 12, tzinfo=timezone.utc)
        assert DeadlineBudget(at="2026-12-01T12:00Z").terms(training_s=0.0).at == NOON
        with pytest.raises(BudgetError, match="expected a time with an offset such as"):
            DeadlineBudget(at="2026-07-01 14:00")

    @pytest.mark.parametrize(
        "arguments",
        [{"at": "tomorrow"}, {"at": None}, {"at": 5}, {"at": "2026-07-01", "zone": "Mars/North"}],
    )
    def test_a_time_that_is_none_is_an_error(self, arguments: Any) -> None:
        with pytest.raises(BudgetError, match=r"budget\.at: expected a time such as"):
            DeadlineBudget(**arguments)

    def test_by_itself_it_ends_a_round_when_it_has_passed(self) -> None:
        budget = DeadlineBudget(at=NOON.isoformat())
        assert budget.is_complete(received(now=NOON))
        assert not budget.is_complete(received(now=NOON - timedelta(seconds=1)))


class TestUntil:
    def test_a_target(self) -> None:
        budget = UntilBudget(k=5, target=0.8)
        assert budget.reached(past(0.9, 0.79)) is None
        assert budget.reached(past(0.5, 0.8)) == "target=0.8 is reached"
        assert budget.reached(past()) is None

    def test_patience_counts_rounds_in_a_row_without_a_better_metric(self) -> None:
        budget = UntilBudget(k=5, patience=2, min_delta=0.01)
        assert budget.reached(past(0.5, 0.6, 0.605)) is None
        assert budget.reached(past(0.5, 0.6, 0.605, 0.59)) is not None
        assert budget.reached(past(0.5, 0.6, 0.605, 0.7)) is None
        assert UntilBudget(k=5, patience=1).reached(past(*[float("nan")] * 5)) is None

    def test_gains_that_vanish(self) -> None:
        budget = UntilBudget(k=5, min_gain=0.1)
        assert budget.reached(past(0.5, 0.5, gains=[3.0, 0.4])) is None
        assert budget.reached(past(0.5, 0.5, gains=[3.0, 0.2])) == (
            "min_gain=0.1: gains are 6.7% of those of the first ordering"
        )
        assert budget.reached(past(0.5, gains=[3.0])) is None
        assert budget.reached(past(0.5, 0.5)) is None

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "expected target, patience or min_gain, got none"),
            ({"patience": 0}, r"budget\.patience: expected a positive integer"),
            ({"min_gain": 2}, r"budget\.min_gain: expected a share"),
            ({"target": "high"}, r"budget\.target: expected a number, or null"),
            ({"patience": 2, "min_delta": -1}, r"budget\.min_delta: expected a number of 0 or"),
        ],
    )
    def test_a_value_that_is_not_valid_is_named(self, arguments: Any, message: str) -> None:
        with pytest.raises(BudgetError, match=message):
            UntilBudget(k=5, **arguments)


PARTS = st.dictionaries(
    st.sampled_from("abc"),
    st.one_of(
        st.builds(FixedBudget, st.integers(1, 60)),
        st.builds(OnDemandBudget, st.integers(1, 60)),
        st.builds(UntilBudget, st.integers(1, 60), target=st.sampled_from([0.3, 0.6])),
        st.builds(lambda k: DeadlineBudget(NOON.isoformat(), k=k), st.none() | st.integers(1, 60)),
    ),
    min_size=1,
)


@given(PARTS, st.integers(0, 60), st.integers(0, 60), st.floats(0, 1))
def test_any_of_ends_with_the_first_and_all_of_with_the_last(
    parts: dict[str, Any], labels: int, new_labels: int, value: float
) -> None:
    now = received(labels=labels, new_labels=new_labels, now=NOON - timedelta(hours=1))

    def ends(budget: Any) -> bool:
        """As the loop asks: by the size, or by the rule."""
        rule = getattr(budget, "is_complete", lambda _: False)
        return (has_size(budget) and labels >= size(budget)) or rule(now)

    any_of, all_of = AnyOfBudget(parts), AllOfBudget(parts)
    assert ends(any_of) == any(map(ends, parts.values()))
    assert ends(all_of) == all(map(ends, parts.values()))
    seen = past(value)
    reasons = [reached(part, seen) for part in parts.values()]
    assert (any_of.reached(seen) is not None) == any(reasons)
    assert (all_of.reached(seen) is not None) == all(reasons)


def test_the_terms_of_all_parts_hold_in_both() -> None:
    parts = {
        "money": CostBudget(limit=5, price=1),
        "late": DeadlineBudget("2026-12-01T14:00+00:00", spare_s=0),
        "inner": AnyOfBudget({"early": DeadlineBudget("2026-12-01T12:00+00:00", spare_s=0)}),
    }
    for budget in (AnyOfBudget(parts), AllOfBudget(parts)):
        terms = terms_of(budget, 60.0)
        assert terms.money == Money(Decimal("5.0"), price=Decimal("1"))
        assert (terms.at, terms.until) == (NOON, NOON - timedelta(seconds=60))
    with pytest.raises(BudgetError, match="expected one limit of money"):
        AllOfBudget({"a": CostBudget(limit=5), "b": CostBudget(limit=6)})


def test_several_budgets_need_the_ordering_if_one_does() -> None:
    cover = CoverageBudget(coverage=0.5, high=9)
    for kind in (AnyOfBudget, AllOfBudget):
        assert needs_ordering(kind({"a": FixedBudget(5), "b": cover}))
        assert not needs_ordering(kind({"a": FixedBudget(5), "b": None}))


def test_a_schedule_that_is_over_ends_any_of_and_not_all_of() -> None:
    parts = {"a": ScheduleBudget([3]), "b": FixedBudget(5)}
    assert (size(AnyOfBudget(parts), round=1), size(AllOfBudget(parts), round=1)) == (0, 5)


@pytest.mark.parametrize("parts", [{}, None, {"a": None}, {"a": 5}, [FixedBudget(5)]])
def test_budgets_without_names_are_an_error(parts: Any) -> None:
    for kind in (AnyOfBudget, AllOfBudget):
        with pytest.raises(BudgetError, match="expected budgets by name, got"):
            kind(parts)


def test_differences_of_configurations() -> None:
    fixed = {"_target_": "lightning_badge.FixedBudget", "k": 5}
    cost = {"_target_": "lightning_badge.CostBudget", "limit": 9, "k": 5}
    assert differences(fixed, fixed) == []
    assert differences(fixed, {**fixed, "k": 6}) == [{"key": "k", "from": 5, "to": 6}]
    assert list(map(in_words, differences(fixed, cost))) == [
        "budget: FixedBudget -> CostBudget",
        "limit: null -> 9",
    ]
    several = {"_target_": "lightning_badge.AnyOfBudget", "of": {"a": fixed}}
    assert settings(OmegaConf.to_container(OmegaConf.create(several))) == {"of.a.k": 5}
    assert list(map(in_words, differences(several, {**several, "of": {"a": cost}}))) == [
        "budget: AnyOfBudget of=a=FixedBudget -> AnyOfBudget of=a=CostBudget",
        "of.a.limit: null -> 9",
    ]
