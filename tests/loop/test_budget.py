from itertools import pairwise
from statistics import median
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from lightning_badge.exceptions import BudgetError
from lightning_badge.loop.budget import (
    Budget,
    CoverageBudget,
    FixedBudget,
    OnDemandBudget,
    ScheduleBudget,
    VariableBudget,
)
from lightning_badge.loop.query_size import needs_ordering


def ask(budget: Budget, *, round: int = 0, pool: int = 10_000) -> int:
    return budget.query_size(round=round, labeled=0, pool=pool, ordering=range(pool))


def test_a_fixed_budget_asks_for_the_same_number_every_round() -> None:
    assert [ask(FixedBudget(k=37), round=i) for i in range(3)] == [37, 37, 37]


@pytest.mark.parametrize("budget", [FixedBudget(50), VariableBudget(50, 60), ScheduleBudget([50])])
def test_no_budget_asks_for_more_than_the_pool_holds(budget: Budget) -> None:
    assert ask(budget, pool=7) == 7
    assert ask(budget, pool=0) == 0


@given(
    low=st.integers(1, 10**6), more=st.integers(0, 10**6), seed=st.integers(), round=st.integers(0)
)
def test_a_variable_budget_stays_in_its_range(low: int, more: int, seed: int, round: int) -> None:
    budget = VariableBudget(low, low + more, seed)
    assert low <= ask(budget, round=round, pool=10**9) <= low + more


def test_a_variable_budget_is_log_uniform_and_reaches_both_ends() -> None:
    drawn = [ask(VariableBudget(low=1, high=100), round=i) for i in range(4000)]
    assert {min(drawn), max(drawn)} == {1, 100}
    assert 8 <= median(drawn) <= 11
    in_first_decade = sum(k < 10 for k in drawn) / len(drawn)
    assert in_first_decade == pytest.approx(np.log(10) / np.log(101), abs=0.03)


def test_a_variable_budget_draws_the_same_again_for_the_same_seed_and_round() -> None:
    rounds = range(50)
    first = [ask(VariableBudget(5, 5000, seed=1), round=i) for i in rounds]
    again = [ask(VariableBudget(5, 5000, seed=1), round=i) for i in reversed(rounds)]
    other = [ask(VariableBudget(5, 5000, seed=2), round=i) for i in rounds]
    assert first == again[::-1]
    assert len(set(first)) > 40
    assert not set(pairwise(first)) & set(pairwise(other))


def test_a_schedule_ends_the_run_after_its_last_entry() -> None:
    budget = ScheduleBudget(sizes=[10, 500])
    assert [ask(budget, round=i) for i in range(4)] == [10, 500, 0, 0]


def test_numbers_may_come_from_a_config_or_from_numpy() -> None:
    assert ScheduleBudget(OmegaConf.create([10, 20])) == ScheduleBudget((10, 20))
    assert type(ask(FixedBudget(np.int64(5)))) is int
    assert hash(ScheduleBudget([1, 2])) == hash(ScheduleBudget((1, 2)))


@pytest.mark.parametrize("wrong", [0, -3, 2.0, True, "5", None])
def test_a_query_size_that_is_not_a_positive_integer_is_an_error(wrong: Any) -> None:
    with pytest.raises(BudgetError, match=r"^budget\.k: expected a positive integer, got "):
        FixedBudget(k=wrong)
    with pytest.raises(BudgetError, match=r"^budget\.low: "):
        VariableBudget(low=wrong, high=9)
    with pytest.raises(BudgetError, match=r"^budget\.high: "):
        VariableBudget(low=1, high=wrong)
    with pytest.raises(BudgetError, match=r"^budget\.sizes\[1\]: "):
        ScheduleBudget(sizes=[5, wrong])


def test_a_seed_that_is_not_an_integer_is_an_error() -> None:
    with pytest.raises(BudgetError, match=r"budget\.seed: expected an integer, got None"):
        VariableBudget(1, 2, seed=None)  # type: ignore[arg-type]


def test_low_above_high_is_an_error() -> None:
    with pytest.raises(BudgetError, match=r"budget\.low: .* got low 10 and high 9"):
        VariableBudget(low=10, high=9)


@pytest.mark.parametrize("wrong", [[], "10,20", 5, None, {10, 20}])
def test_a_schedule_that_is_not_a_list_is_an_error(wrong: Any) -> None:
    with pytest.raises(BudgetError, match=r"budget\.sizes: expected a list of positive integers"):
        ScheduleBudget(sizes=wrong)


class TestCoverage:
    def ask(self, coverage: float, high: int, ordering: object, pool: int = 99) -> int:
        budget = CoverageBudget(coverage=coverage, high=high)
        return budget.query_size(round=0, labeled=0, pool=pool, ordering=ordering)

    def test_it_asks_for_the_shortest_prefix_that_covers_enough(self) -> None:
        ordering = SimpleNamespace(coverage=np.array([0.1, 0.5, 0.9], dtype=np.float32))
        assert [self.ask(share, 99, ordering) for share in (0.1, 0.5, 0.6, 1.0)] == [1, 2, 3, 3]

    def test_it_never_asks_for_more_than_high_or_the_pool(self) -> None:
        ordering = SimpleNamespace(coverage=np.linspace(0, 1, 50))
        assert self.ask(1.0, 7, ordering) == 7
        assert self.ask(1.0, 99, ordering, pool=9) == 9

    def test_an_ordering_without_coverage_is_an_error(self) -> None:
        with pytest.raises(BudgetError, match="has no coverage"):
            self.ask(0.5, 7, SimpleNamespace(coverage=None))

    @pytest.mark.parametrize("share", [0, 1.5, -1, True, "half", float("nan")])
    def test_a_share_outside_its_range_is_an_error(self, share: object) -> None:
        with pytest.raises(BudgetError, match=r"budget.coverage: expected a share in \(0, 1\]"):
            CoverageBudget(coverage=share, high=5)


@pytest.mark.parametrize(
    ("new_labels", "oldest_s", "is_complete"),
    [(0, None, False), (4, 1.0, False), (5, 1.0, True), (1, 59.9, False), (1, 60.0, True)],
)
def test_on_demand_a_round_ends_by_number_or_by_age(
    new_labels: int, oldest_s: float | None, is_complete: bool
) -> None:
    received = SimpleNamespace(new_labels=new_labels, oldest_s=oldest_s)
    assert OnDemandBudget(at_least=5, at_most_old=60).is_complete(received) == is_complete
    assert OnDemandBudget(at_least=5).is_complete(received) == (new_labels >= 5)


@pytest.mark.parametrize("wrong", [0, -1.5, True, "soon"])
def test_on_demand_an_age_that_is_no_time_is_an_error(wrong: Any) -> None:
    with pytest.raises(BudgetError, match=r"budget\.at_most_old: expected a positive number"):
        OnDemandBudget(at_least=5, at_most_old=wrong)


@pytest.mark.parametrize(
    ("budget", "needs"),
    [
        (FixedBudget(5), False),
        (ScheduleBudget([5]), False),
        (VariableBudget(1, 5), False),
        (OnDemandBudget(5), False),
        (CoverageBudget(0.5, 9), True),
        (SimpleNamespace(query_size=lambda **_: 5), True),
    ],
)
def test_budgets_say_whether_they_need_the_ordering_of_their_round(
    budget: Any, needs: bool
) -> None:
    assert needs_ordering(budget) == needs
    if not needs:
        arguments = {"round": 0, "labeled": 3, "pool": 50}
        assert budget.query_size(ordering=(), **arguments) == budget.query_size(
            ordering=range(50), **arguments
        )
