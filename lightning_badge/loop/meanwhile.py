"""What labelers may be asked for while the next model is trained.

They go on down the ordering that they have, as far as the budget of the next round goes, so that
nobody waits for a training. What they answer counts for that round.
"""

from collections.abc import Collection

from lightning_badge.loop.budget import Budget
from lightning_badge.loop.limits import Limits
from lightning_badge.loop.query_size import has_size, query_size
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.label_store import LabelStore


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
