"""A team on a virtual clock: nobody is idle in their hours, and kills change nothing."""

from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightning_badge.exceptions import LabelError
from lightning_badge.labelers.base import TimedLabelers
from lightning_badge.labelers.dataset import DatasetLabelers, TeamLabelers
from lightning_badge.labelers.team import time_of
from lightning_badge.labelers.working_hours import WorkingHours
from lightning_badge.loop.budget import FixedBudget, OnDemandBudget
from lightning_badge.loop.query import ask, commit_late_answers
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import Answer
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.terms import Terms, commit_terms

MONDAY = datetime(2026, 1, 5, 8, tzinfo=timezone.utc)
TEAM = {
    "ann": {"rate": 6, "hours": "mon-fri 09:00-17:00"},
    "bob": {"rate": 10, "hours": "mon 13:00-17:00, wed 08:00-12:00, wed 13:00-20:00"},
    "eve": {"rate": 4, "hours": "tue-thu 18:00-22:00, fri 08:00-11:30"},
}
POOL = 2000


def team(**arguments: Any) -> TeamLabelers:
    arguments = {"team": TEAM, "begins": MONDAY.isoformat(), "training_hours": 0.5, **arguments}
    return TeamLabelers(dict.fromkeys(range(POOL), 1), **arguments)


class KilledError(Exception):
    """Stands for the kill of a process."""


def killed(labelers: TeamLabelers, store: LabelStore, kills: set[int]) -> TeamLabelers:
    answered = labelers.team._answered

    def answer(*arguments: Any) -> Any:
        count = len(store.answers())
        if count in kills:
            kills.discard(count)
            raise KilledError
        return answered(*arguments)

    labelers.team._answered = answer  # type: ignore[method-assign]
    return labelers


def run_week(path: Path, budget: Any, rounds: int, *, kills: Any = ()) -> list[Answer]:
    """Asks and trains in turns, as the loop does, without models."""
    left = set(kills)
    while True:
        with LabelStore(path) as store:
            try:
                labelers = killed(team(), store, left)
                for round in range(len(store.finished_rounds()), rounds):
                    run_round(store, labelers, budget, round)
                return store.answers()
            except KilledError:
                continue


def query_of(store: LabelStore, labelers: TeamLabelers, round: int) -> Query:
    cut = store.cuts(round)[-1]
    labeled = store.labels(up_to=cut.last_answer_id)
    pool = [n for n in range(POOL) if n not in labeled]
    return Query(store, cut, Ordering(np.array(pool)), clock=lambda: labelers.time_in(store))


def run_round(store: LabelStore, labelers: TeamLabelers, budget: Any, round: int) -> None:
    size = budget.query_size(round=round, labeled=0, pool=POOL, ordering=())
    is_sized = isinstance(budget, FixedBudget)
    if not store.cuts(round):
        before = store.cuts(round - 1)[-1].last_answer_id if round else 0
        received = len(store.labels()) - len(store.labels(up_to=before))
        allowed = (round - 1, received + size if is_sized else None)
        store.cut(round, allowed=allowed if round else None)
    if round:
        before_query = query_of(store, labelers, round - 1)
        commit_late_answers(before_query, labelers, after=store.cuts(round)[-1].last_answer_id)
    query = query_of(store, labelers, round)
    query.allow(size if is_sized else None)
    ask(query, labelers, budget, size)
    store.finish_round(round, query_size=size)


def idle_s(answers: list[Answer], begin: datetime) -> dict[str, float]:
    """Returns the time in working hours from the first ordering on that was no work."""
    idle = {}
    for name, member in team().team.members.items():
        mine = [answer for answer in answers if answer.annotator == name]
        open_s = member.hours.between(begin, max(map(time_of, mine), default=begin))
        work = [(time_of(a) - timedelta(seconds=a.seconds or 0.0), time_of(a)) for a in mine]
        idle[name] = open_s - sum(member.hours.between(*interval) for interval in work)
    return idle


def test_nobody_is_idle_in_their_hours_for_a_week(tmp_path: Path) -> None:
    answers = run_week(tmp_path / "labels.db", OnDemandBudget(at_least=60), 7)
    first_ordering = MONDAY + timedelta(hours=0.5)
    idle = idle_s(answers, first_ordering)
    assert {name: round(seconds, 3) for name, seconds in idle.items()} == dict.fromkeys(TEAM, 0.0)
    assert len({answer.sample_id for answer in answers}) == len(answers)
    times = list(map(time_of, answers))
    assert times == sorted(times)
    assert times[-1] - MONDAY > timedelta(days=4)
    assert min(Counter(answer.annotator for answer in answers).values()) > 25
    # Some were at work on a sample when a training began, and when it ended.
    assert {answer.round for answer in answers} == set(range(7))


def test_a_budget_that_is_used_up_while_a_model_is_trained_makes_people_wait(
    tmp_path: Path,
) -> None:
    answers = run_week(tmp_path / "labels.db", FixedBudget(2), 30)
    assert idle_s(answers, MONDAY + timedelta(hours=0.5))["ann"] > 600


@pytest.mark.parametrize("budget", [OnDemandBudget(at_least=20), FixedBudget(8)], ids=str)
def test_a_killed_run_ends_as_one_that_was_not(budget: Any, tmp_path: Path) -> None:
    def told(answers: list[Answer]) -> list[Any]:
        return [(a.sample_id, a.label, a.annotator, a.round, a.rank, a.request_id) for a in answers]

    whole = run_week(tmp_path / "whole.db", budget, 5)
    kills = [0, 1, 19, 20, 21, 22, 27, 40, 41, 70]
    assert told(run_week(tmp_path / "killed.db", budget, 5, kills=kills)) == told(whole)


def test_nobody_begins_after_the_deadline(tmp_path: Path) -> None:
    until = datetime(2026, 1, 6, 14, tzinfo=timezone.utc)
    with LabelStore(tmp_path / "labels.db") as store, store.leases.transaction():
        commit_terms(store.changes, Terms(until=until, at=until))
    answers = run_week(tmp_path / "labels.db", OnDemandBudget(at_least=40), 3)
    begun = [time_of(answer) - timedelta(seconds=answer.seconds or 0.0) for answer in answers]
    assert max(begun) < until
    assert until - max(begun) <= timedelta(minutes=10)


HOURS = WorkingHours.of_text("mon-fri 09:00-12:00, mon-thu 13:00-17:00, sat 10:00-11:30")
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 1)).map(
    lambda time: time.replace(microsecond=0, tzinfo=timezone.utc)
)


@given(TIMES, st.integers(0, 10**6))
def test_time_between_is_the_sum_of_its_minutes(time: datetime, seconds: int) -> None:
    middle, end = time + timedelta(seconds=seconds // 3), time + timedelta(seconds=seconds)
    assert HOURS.between(time, end) == HOURS.between(time, middle) + HOURS.between(middle, end)
    opens = HOURS.next_open(time)
    assert HOURS.between(time, opens) == 0.0
    assert HOURS.between(opens, opens + timedelta(seconds=1)) == 1.0


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "9-5",
            "mon 17:00-09:00",
            "fri-mon 09:00-10:00",
            "mon 09:00-25:00",
            "day 09:00-10:00",
        ),
        *("mon 09:00-09:61", "mon 09:00-12:00, mon 11:00-13:00"),
    ],
)
def test_hours_that_say_nothing_are_an_error(text: str) -> None:
    with pytest.raises(LabelError, match="expected hours such as"):
        WorkingHours.of_text(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"team": {"ann": {"rate": 3}}}, "team.ann: expected rate and hours"),
        ({"team": {"ann": {"rate": 0, "hours": "mon 9:00-10:00"}}}, "expected a positive number"),
        ({"begins": "soon"}, "labelers.begins: expected a time"),
        ({"training_hours": 0}, "labelers.training_hours: expected a positive number"),
    ],
)
def test_a_team_that_is_none_is_an_error(arguments: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        team(**arguments)


def test_answers_of_others_have_no_virtual_time(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "labels.db") as store:
        store.record(0, [(1, 1)], annotator="ann")
        with pytest.raises(LabelError, match="has no virtual time; use another run_dir"):
            team().time_in(store)


def test_other_simulated_labelers_have_no_such_clock() -> None:
    assert isinstance(team(), TimedLabelers)
    assert not isinstance(DatasetLabelers({}), TimedLabelers)
