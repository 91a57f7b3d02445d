"""The budget of a run as it is now, and what it lets the label store hold."""

import math
import time
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lightning_badge.labelers.base import Labelers, TimedLabelers
from lightning_badge.loop.budget import Budget
from lightning_badge.loop.budget.base import Past, TrainedRound, reached, terms_of
from lightning_badge.loop.limits import Limits
from lightning_badge.loop.query_size import has_size, query_size
from lightning_badge.loop.round_report import RoundReport
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.budget_changes import BUDGET
from lightning_badge.store.gate import Gate
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.terms import commit_terms

_FIRST_RANKS = 100  # whose mean gain describes an ordering


@dataclass(frozen=True)
class Began:
    """The arguments of ``query_size`` in a round."""

    round: int
    labeled: int
    pool: int
    ordering: Sized

    def arguments(self) -> dict[str, Any]:
        """Returns them by name."""
        names = ("round", "labeled", "pool", "ordering")
        return {name: getattr(self, name) for name in names}


class RunBudget:
    """The budget that a run began with, or the one that replaced it while the run goes on.

    Args:
        budget: The budget that the run begins with.
        limits: The limits of the run.
        store: The label store, where ``lightning-badge budget`` commits changes.
        make: Builds the budget of a configuration; None if the budget cannot be changed.
        clock: Returns the time in seconds since 1970.
        labelers: Who answers; on a virtual clock, trainings take the time that they say.
    """

    def __init__(
        self,
        budget: Budget,
        limits: Limits,
        store: LabelStore,
        *,
        make: Callable[[Mapping[str, Any]], Budget] | None,
        clock: Callable[[], float],
        labelers: Labelers,
    ) -> None:
        self._budget = budget
        self._limits = limits
        self._store = store
        self._make = make
        self._clock = clock
        self._virtual_s = labelers.training_s if isinstance(labelers, TimedLabelers) else None
        self._gate = Gate(store)
        self._seen: object = None  # the latest change of any kind
        self._change_id: int | None = None

    @property
    def now(self) -> Budget:
        """The budget in force."""
        newest = self._store.changes.newest()
        if self._make is None or newest == self._seen:
            return self._budget
        self._seen = newest
        change = self._store.changes.last(BUDGET)
        if change is not None and change.change_id != self._change_id:
            self._change_id = change.change_id
            self._budget = self._make(change.facts["config"])
        return self._budget

    def remains(self) -> str | None:
        """Returns what remains of money and time, as one line; None if nothing limits them."""
        self._gate.spending.refresh()
        return self._gate.remains()

    def size(self, began: Began) -> int:
        """Returns how many labels a round asks for; 0 ends the run."""
        return query_size(self.now, self._limits, **began.arguments())

    def past(
        self,
        reports: Sequence[RoundReport],
        metric: str,
        ordering_path: Callable[[int], Path],
        ordering: Ordering | None = None,
    ) -> Past:
        """Returns what the budget sees of the rounds and the clock.

        Args:
            reports: The trained rounds.
            metric: The metric of the run.
            ordering_path: Returns the path of a round's ordering.
            ordering: The ordering of the last round; None if nothing is decided by it.
        """
        rounds = [self._trained(report, metric) for report in reports]
        if ordering is not None and len(rounds) > 1 and hasattr(self.now, "reached"):
            first = ordering_path(reports[0].round)
            if first.exists():
                rounds[0] = replace(rounds[0], gain=gain_of(read_ordering(first)))
            rounds[-1] = replace(rounds[-1], gain=gain_of(ordering))
        return Past(rounds, datetime.fromtimestamp(self._clock(), timezone.utc))

    def _trained(self, report: RoundReport, metric: str) -> TrainedRound:
        seconds = report.seconds if self._virtual_s is None else self._virtual_s
        known = 0.0 if seconds is None or math.isnan(seconds) else seconds
        return TrainedRound(report.labeled, report.value(metric), known)

    def reached(self, past: Past) -> str | None:
        """Returns why the run asks for no more labels; None if it goes on."""
        return reached(self.now, past)

    def commit_terms(self, past: Past) -> None:
        """Commits what must hold while labels are handed out, if it is another than before."""
        with self._store.leases.transaction():
            commit_terms(self._store.changes, terms_of(self.now, past.training_s))


class Asked:
    """The query of a round with the budget in force, which may change while labels come.

    Args:
        plan: The budget of the run.
        query: The query; its allowance is written now.
        began: With which arguments the budget is asked.
        past: The rounds before.

    Attributes:
        size: Number of labels that completes the query in any case.
        is_sized: Whether the budget sets that number, and no other rule ends the query.
    """

    def __init__(self, plan: RunBudget, query: Query, began: Began, past: Past) -> None:
        self._plan, self._query, self._began, self._past = plan, query, began, past
        self._budget: Budget | None = None
        self.now()

    def now(self) -> tuple[Budget, int]:
        """Takes up a change of the budget; returns it, and the number of labels."""
        budget = self._plan.now
        if budget is not self._budget:
            self._budget = budget
            self.size = self._plan.size(self._began)
            self.is_sized = has_size(budget) and not hasattr(budget, "is_complete")
            self._plan.commit_terms(self._past)
            is_limited = has_size(budget) or self.size < self._began.pool
            self._query.allow(self.size if is_limited else None)
        return budget, self.size


def clock_of(labelers: Labelers, store: LabelStore) -> Callable[[], float]:
    """Returns the clock of a run: the virtual one of its labelers, or the real one."""
    if isinstance(labelers, TimedLabelers):
        return partial(labelers.time_in, store)
    return time.time


def gain_of(ordering: Ordering) -> float | None:
    """Returns the mean gain of the first ranks of an ordering; None if it has no gains."""
    if ordering.gains is None:
        return None
    gains = np.asarray(ordering.gains, dtype=np.float64)[:_FIRST_RANKS]
    known = gains[np.isfinite(gains)]
    return float(known.mean()) if len(known) else None
