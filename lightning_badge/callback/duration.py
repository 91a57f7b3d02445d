"""Estimates how long the ordering of a large pool takes, from its first ranks."""

import math
import time
from collections.abc import Callable
from datetime import timedelta

import numpy as np
from lightning.fabric.utilities import rank_zero_warn

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import Ordering

_LARGE_POOL = 200_000
# Ranks that are ordered and timed; the first size warms up: compilers run, caches fill.
_WARM_UP, _SIZES = 8, (32, 128, 512, 2048)
_ENOUGH_SECONDS = 5.0


def tell_duration(
    embedding: GradientEmbedding, run: Callable[..., Ordering], k: int | None
) -> bool:
    """Logs how long the ordering of a large pool on the CPU will take.

    Args:
        embedding: Embedding of the pool.
        run: Orders the first ``k`` ranks.
        k: Ranks to order; None for all.

    Returns:
        Whether the pool is large, so that an estimate was logged.
    """
    n, device = len(embedding), embedding.logit_grad.device.type
    # Several processes would need one clock: they do not estimate.
    if n <= _LARGE_POOL or device != "cpu" or embedding.shard is not None:
        return False
    ranks = n if k is None else min(k, n)
    duration = estimate_duration(lambda ranks: run(k=ranks), ranks, n)
    rank_zero_warn(
        f"BadgeCallback: ordering {ranks:,} of {n:,} samples on the CPU will take about "
        f"{duration} (h:mm:ss); k=... orders only the first k"
    )
    return True


def estimate_duration(run_first: Callable[[int], object], ranks: int, n: int) -> timedelta:
    """Times the first ranks of an ordering and extrapolates to all of them.

    A rank costs one pass over the remaining rows, so k ranks of n rows cost ``k (1 - k / 2n)``
    passes. A line fitted to the times of at least three sizes gives the cost of a pass and the
    fixed cost. A smaller size runs first as a warm-up and is not timed.

    Args:
        run_first: Orders the given number of first ranks.
        ranks: Number of ranks to estimate for.
        n: Number of rows of the pool.

    Example:
        >>> estimate_duration(lambda ranks: None, ranks=1, n=1)
        datetime.timedelta(seconds=1)
    """
    run_first(min(_WARM_UP, ranks))
    sizes, took = list[int](), list[float]()
    for size in _SIZES:
        sizes.append(min(size, ranks))
        took.append(_seconds(run_first, sizes[-1]))
        if sizes[-1] == ranks:
            return timedelta(seconds=math.ceil(took[-1]))
        if len(sizes) >= 3 and took[-1] > _ENOUGH_SECONDS:
            break
    passes = [_passes(size, n) for size in sizes]
    each, once = np.polyfit(passes, took, deg=1)
    seconds = once + max(each, 0.0) * _passes(ranks, n)
    return timedelta(seconds=math.ceil(max(seconds, took[-1])))


def _passes(ranks: int, n: int) -> float:
    return ranks * (1.0 - ranks / (2.0 * n))


def _seconds(run_first: Callable[[int], object], ranks: int) -> float:
    started = time.perf_counter()
    run_first(ranks)
    return time.perf_counter() - started
