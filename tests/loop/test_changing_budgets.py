"""Budgets that end a run, and budgets and priorities that change while it goes on."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from loop_run import INITIAL, Killed, Run
from tiny import LIGHTNING_WARNINGS

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers import DatasetLabelers
from lightning_badge.loop.budget import (
    AllOfBudget,
    AnyOfBudget,
    Budget,
    CostBudget,
    DeadlineBudget,
    FixedBudget,
    OnDemandBudget,
    UntilBudget,
)
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.budget_changes import commit_budget
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.priorities import PRIORITIES
from lightning_badge.store.spending import Spending

pytestmark = [*LIGHTNING_WARNINGS, pytest.mark.usefixtures("no_pictures")]

START = datetime(2026, 3, 2, 12, tzinfo=timezone.utc)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


def spent(run: Run) -> float:
    with LabelStore(run.directory.labels_path) as store:
        spending = Spending(store)
        spending.refresh()
        return float(spending.total)


def make_budget(config: Mapping[str, Any]) -> Budget:
    return CostBudget(**config)


class Changing(DatasetLabelers):
    """Labelers in whose time somebody changes the budget: before their n-th answer."""

    def __init__(self, run: Run, changes: dict[int, float], *, kill_at: int = -1) -> None:
        super().__init__(run.datamodule().held_back_labels())
        self.run, self.changes, self.kill_at = run, changes, kill_at

    def collect(self) -> Iterator[list[NewAnswer]]:
        for batch in super().collect():
            with LabelStore(self.run.directory.labels_path) as store:
                count = len(store.answers())
                if count in self.changes:
                    before = {"limit": 1.0, "k": 5, "price": 0.1}
                    now = {**before, "limit": self.changes.pop(count)}
                    with store.leases.transaction():
                        commit_budget(store.changes, before, now, who="ann", how="command")
            if count == self.kill_at:
                self.kill_at = -1
                raise Killed
            yield batch


def test_money_ends_a_run_after_a_training_on_all_labels(run: Run) -> None:
    run.budget = CostBudget(limit=1.25, price=0.1, k=5)
    run.go()
    assert run.trained == [INITIAL, 11, 16, 18]
    assert spent(run) == 1.2
    assert run.last_line() == "run ended: the money is used up: 1.20 of 1.25"
    lines = run.console.getvalue().splitlines()
    assert lines[2].endswith("  0.75 of 1.25 left (0.10 a label)")
    assert lines[3].endswith("  0.25 of 1.25 left (0.10 a label)")
    run.go()  # started again, it asks for nothing
    assert run.trained == [INITIAL, 11, 16, 18]
    run.budget = CostBudget(limit=1.4, price=0.1, k=5)
    run.go()
    assert run.trained == [INITIAL, 11, 16, 18, 20]


def test_money_that_pays_for_nothing_is_said(run: Run) -> None:
    run.budget = CostBudget(limit=0.05, price=0.1, k=5)
    run.go()
    assert run.trained == [INITIAL]
    assert run.last_line() == "run ended: the money is used up: 0 of 0.05"


def test_a_change_of_the_limit_is_taken_up_at_once(run: Run) -> None:
    run.budget = CostBudget(limit=1.0, price=0.1, k=5)
    run.labelers = Changing(run, {7: 0.5})
    run.go(make_budget=make_budget)
    # The answer that was on its way still came.
    assert run.trained == [INITIAL, 11, 14]
    assert run.last_line() == "run ended: the money is used up: 0.80 of 0.50"
    run.labelers = Changing(run, {})
    with LabelStore(run.directory.labels_path) as store, store.leases.transaction():
        config = {"limit": 0.5, "k": 5, "price": 0.1}
        more = {**config, "limit": 1.1, "k": 2}
        commit_budget(store.changes, config, more, who="ann", how="command")
    run.go(make_budget=make_budget)
    assert run.trained == [INITIAL, 11, 14, 16, 17]
    assert spent(run) == 1.1


@pytest.mark.parametrize("kill_at", [0, 3, 5, 8])
def test_a_run_that_is_killed_after_a_change_goes_on_with_it(run: Run, kill_at: int) -> None:
    run.budget = CostBudget(limit=1.0, price=0.1, k=5)
    run.labelers = Changing(run, {3: 0.9}, kill_at=kill_at)
    with pytest.raises(Killed):
        run.go(make_budget=make_budget)
    run.go(make_budget=make_budget)
    assert spent(run) == 0.9
    assert len(run.labels()) == 9
    with LabelStore(run.directory.labels_path) as store:
        (change,) = store.changes.of("budget")
    assert change.facts["changes"] == [{"key": "limit", "from": 1.0, "to": 0.9}]


class Slow(DatasetLabelers):
    """Two labelers whose answers take a minute each."""

    def __init__(self, run: Run, clock: list[datetime]) -> None:
        super().__init__(run.datamodule().held_back_labels(), annotators=2)
        self.clock = clock

    def collect(self) -> Iterator[list[NewAnswer]]:
        for batch in super().collect():
            self.clock[0] += timedelta(minutes=1)
            yield batch


def test_a_deadline_ends_a_run_in_time_for_the_last_training(run: Run) -> None:
    clock = [START]
    at = START + timedelta(minutes=14)
    run.budget = DeadlineBudget(at=at.isoformat(), k=5, spare_s=120)
    run.labelers = Slow(run, clock)
    run.go(clock=lambda: clock[0].timestamp())
    # Until two minutes, and the time of a training, before the deadline.
    assert len(run.labels()) == 12
    assert run.trained == [INITIAL, 11, 16, 18]
    assert run.last_line().startswith(f"run ended: the deadline {at.isoformat()} is near: a train")
    run.go(clock=lambda: clock[0].timestamp())  # started again, it asks for nothing
    assert len(run.labels()) == 12


def test_nobody_labels_while_the_last_model_before_a_deadline_is_trained(run: Run) -> None:
    clock = [START]
    run.budget = DeadlineBudget(at=(START + timedelta(minutes=6)).isoformat(), k=5, spare_s=60.0)
    run.labelers = Slow(run, clock)
    run.go(clock=lambda: clock[0].timestamp())
    assert run.trained == [INITIAL, 11]
    with LabelStore(run.directory.labels_path) as store:
        assert [change.facts for change in store.changes.of("allowance")][-1] == {
            "round": 0,
            "labels": 5,
        }


def test_a_metric_ends_a_run(run: Run) -> None:
    run.budget = UntilBudget(k=5, target=0.0)
    run.go()
    assert run.trained == [INITIAL]
    assert run.last_line() == "run ended: target=0.0 is reached"


def test_gains_that_vanish_end_a_run(run: Run) -> None:
    run.budget = UntilBudget(k=5, min_gain=1.0)
    run.go(max_rounds=8)
    assert run.last_line().startswith("run ended: min_gain=1.0: gains are ")


def test_any_of_several_budgets_ends_a_round(run: Run) -> None:
    parts = {"size": OnDemandBudget(at_least=4), "money": CostBudget(limit=1.0, price=0.1)}
    run.budget = AnyOfBudget(parts)
    run.go()
    assert run.trained == [INITIAL, 10, 14, 16]
    assert run.last_line() == "run ended: the money is used up: 1 of 1"


def test_all_of_several_budgets_end_a_round(run: Run) -> None:
    run.budget = AllOfBudget({"size": FixedBudget(5), "more": OnDemandBudget(at_least=7)})
    run.go(max_rounds=3)
    assert run.trained == [INITIAL, 13, 20]


def test_a_limit_of_money_holds_in_all_of_several_budgets(run: Run) -> None:
    run.budget = AllOfBudget({"size": FixedBudget(7), "money": CostBudget(limit=1.0, price=0.1)})
    run.go(max_rounds=9)
    assert run.trained == [INITIAL, 16]
    assert spent(run) == 1.0


def test_planned_priorities_take_effect_once_in_their_round(run: Run) -> None:
    plans = [{"round": 1, "exclude": ["?"]}, {"round": 2, "clear": True, "first": "5*"}]
    run.go(max_rounds=3, priorities=plans)
    run.go(max_rounds=4, priorities=plans)
    with LabelStore(run.directory.labels_path) as store:
        answers = store.answers()
        changes = [change.facts["change"] for change in store.changes.of(PRIORITIES)]
    assert changes == ["exclude ?", "clear; first 5*"]
    assert any(answer.sample_id < 10 for answer in answers if answer.round == 0)
    assert all(answer.sample_id > 9 for answer in answers if answer.round == 1)
    assert all(answer.sample_id >= 50 or answer.sample_id == 5 for answer in answers[10:13])


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"first": "a"}, "expected a round of 0 or more, got None"),
        ({"round": 1, "last": "a"}, "expected entries with round, by, clear, first, exclude"),
        ({"round": 1}, "expected first, exclude, quota or clear"),
    ],
)
def test_a_plan_that_says_nothing_is_an_error(run: Run, plan: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        run.go(priorities=[plan])
