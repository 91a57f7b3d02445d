"""An ordering again, with samples that arrived: ranks that were published never change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from math import comb
from typing import Any, NamedTuple

import numpy as np

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering.lazy import LazyOrdering
from lightning_badge.ordering.ordering import Ordering
from lightning_badge.sample_ids import SampleId, as_sample_ids, is_in


def rank_again(
    pool: GradientEmbedding,
    newcomers: GradientEmbedding | None,
    published: Collection[SampleId],
    strategy: str,
    *,
    seed: int,
    labeled: GradientEmbedding | None = None,
    strategy_args: Mapping[str, Any] | None = None,
    backend: str = "auto",
) -> Ordering:
    """Ranks what is not published, together with samples that arrived.

    Args:
        pool: The rows that were ranked before.
        newcomers: The rows that arrived; None for none.
        published: Ids of the pool that are published, in the order of their ranks. For strategies
            that choose by the rows chosen before, such as k-means++, they are centers.
        strategy: Name of the strategy.
        seed: Seed of its draws.
        labeled: The labeled set, for strategies that use it.
        strategy_args: The strategy's own arguments.
        backend: Computes distances.

    Returns:
        The others, best first.

    Raises:
        OrderingError: A strategy that needs a posterior, or ids that are not in the pool.
    """
    arguments: dict[str, Any] = dict(strategy_args or {})
    if labeled is not None:
        arguments["labeled"] = labeled
    lazy = LazyOrdering(pool, strategy, seed=seed, backend=backend, **arguments)
    lazy.publish(published)
    if newcomers is not None:
        lazy.extend(newcomers)
    return lazy.take() if len(lazy) else Ordering(sample_ids=as_sample_ids([]))


def successor(parent: Ordering, others: Ordering, published: Collection[SampleId]) -> Ordering:
    """Puts others on the ranks that are not published.

    Args:
        parent: The ordering before.
        others: Samples that are not published, best first, with the samples that arrived.
        published: Samples of ``parent`` that keep their ranks. Those of them that are among
            ``others`` leave these.

    Returns:
        An ordering of all of them, without coverage. The gain of a sample that keeps its rank is
        the one it had.

    Raises:
        OrderingError: An id that is not in ``parent``.

    Example:
        >>> before = Ordering(sample_ids=["a", "b", "c", "d"])
        >>> successor(before, Ordering(sample_ids=["new", "d", "a"]), ["a", "c"]).sample_ids
        array(['a', 'new', 'c', 'd'], dtype=object)
    """
    kept_ids = as_sample_ids(published, error=OrderingError)
    is_kept = is_in(parent.sample_ids, kept_ids)
    if is_kept.sum() != len(kept_ids):
        raise OrderingError("published: expected ids of the ordering before")
    is_other = ~is_in(others.sample_ids, kept_ids)
    n_others = int(is_other.sum())
    n, ranks = len(kept_ids) + n_others, np.flatnonzero(is_kept)
    # Ranks beyond the end exist only if samples left; then these come last.
    in_place = ranks[ranks < n]
    free = np.setdiff1d(np.arange(n), in_place)
    to_kept, to_other = np.concatenate([in_place, free[n_others:]]), free[:n_others]

    def column(of_parent: Any, of_others: Any) -> Any:
        values = np.empty(n, dtype=of_parent.dtype)
        values[to_kept], values[to_other] = of_parent[is_kept], of_others[is_other]
        return values

    mine, theirs = parent.columns(), others.columns()
    columns: dict[str, Any] = {
        name: column(mine[name], theirs[name])
        for name in ("gains", "hallucinated_label", "confidence")
        if name in mine and name in theirs
    }
    ids = column(parent.sample_ids, others.sample_ids)
    return Ordering(sample_ids=ids, metadata=parent.metadata, **columns)


class Novelty(NamedTuple):
    """How many of the samples that arrived are among the first ranks.

    Attributes:
        found: Their number among the first ranks.
        expected: What chance gives.
        p_value: Probability that chance gives as many or more.
    """

    found: int
    expected: float
    p_value: float


def novelty(ranked: Ordering, newcomers: Collection[SampleId], first: int = 100) -> Novelty:
    """Tests whether samples that arrived look different from the pool.

    If they were like the others, their number among the first ranks would be hypergeometric.

    Args:
        ranked: Samples that were ranked together, best first.
        newcomers: Those of them that arrived.
        first: Number of ranks that are looked at, at most a tenth of all.

    Example:
        >>> ranked = Ordering(sample_ids=list(range(1000)))
        >>> novelty(ranked, range(10)).found, novelty(ranked, range(10)).expected
        (10, 1.0)
        >>> novelty(ranked, range(10)).p_value < 1e-9
        True
    """
    n, ids = len(ranked), as_sample_ids(newcomers)
    first = min(first, n // 10)
    found = int(is_in(ranked.sample_ids[:first], ids).sum())
    arrived = int(is_in(ranked.sample_ids, ids).sum())
    if not first:
        return Novelty(0, 0.0, 1.0)
    ways = sum(
        comb(arrived, k) * comb(n - arrived, first - k)
        for k in range(found, min(first, arrived) + 1)
    )
    return Novelty(found, first * arrived / n, ways / comb(n, first))
