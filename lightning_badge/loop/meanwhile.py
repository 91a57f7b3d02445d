"""What labelers may be asked for while the next model is trained.

They go on down the ordering that they have, as far as the budget of the next round goes, so that
nobody waits for a training. What they answer counts for that round.
"""

from collections.abc import Collection

from lightning_badge.loop.budget import Budget
from lightning_badge.loop.budget.base import Past
from lightning_badge.loop.limits import Limits
from lightning_badge.loop.query_size import has_size, needs_ordering, query_size
from lightning_badge.loop.run_budget import RunBudget
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.allowance import allowed
from lightning_badge.store.label_store import LabelStore


def allowance_meanwhile(
    plan: RunBudget,
    limits: Limits,
    store: LabelStore,
    past: Past,
    *,
    round: int,
    labeled: int,
    pool: int,
    cut: int | None,
    until: int,
    not_counted: Collection[SampleId],
) -> tuple[int, int | None] | None:
    """Returns round and labels of the allowance while a round is trained; None leaves it as it is.

    Args:
        plan: The budget of the run.
        limits: Of the run.
        store: The label store.
        past: The rounds before.
        round: The round that is trained.
        labeled: Number of labels that it is trained on.
        pool: Number of samples in its pool.
        cut: The last answer of the cut of the round before; None if it has none.
        until: The last answer that the round is trained on.
        not_counted: Validation samples, and samples whose label is known from the data.
    """
    now = allowed(store.changes)
    if now is None or now["round"] != round - 1 or needs_ordering(plan.now):
        return None
    plan.commit_terms(past)
    more: int | None = 0
    if plan.reached(past.later(past.training_s)) is None:  # else no model learns from them
        more = labels_meanwhile(plan.now, limits, round=round, labeled=labeled, pool=pool)
    if more is None or cut is None:
        return round - 1, more
    received = labels_since(store, cut=cut, until=until, not_counted=not_counted)
    return round - 1, received + more


def labels_meanwhile(
    budget: Budget, limits: Limits, *, round: int, labeled: int, pool: int
) -> int | None:
    """Returns how many labels may come while a round is trained; None for no limit.

    None may come while the last round is trained, because no model would learn from them.

    Args:
        budget: Of the run; it must not need the round's ordering.
        limits: Of the run.
        round: The round that is trained.
        labeled: Number of labels that it is trained on.
        pool: Number of samples in its pool.
    """
    if not pool or limits.reached(rounds=round + 1, labeled=labeled, value=float("nan")):
        return 0
    size = query_size(budget, limits, round=round, labeled=labeled, pool=pool, ordering=())
    return size if has_size(budget) or size < pool else None


def labels_since(
    store: LabelStore, *, cut: int, until: int, not_counted: Collection[SampleId]
) -> int:
    """Returns how many labels a query has up to an answer, counted as `Query` does.

    Args:
        store: The label store.
        cut: The last answer of the cut that the query's ordering was computed from.
        until: The answer.
        not_counted: Validation samples, and samples whose label is known from the data.
    """
    before = store.labels(up_to=cut).keys()
    return len(store.labels(up_to=until).keys() - before - set(not_counted))
