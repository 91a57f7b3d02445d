"""How long a long job will take, told from its first steps."""

import math
import time
from collections.abc import Callable
from datetime import timedelta

from lightning.fabric.utilities import rank_zero_warn

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import Ordering

PROBED = (8, 40)
_LARGE_POOL = 200_000


def tell_duration(
    embedding: GradientEmbedding, run: Callable[..., Ordering], k: int | None
) -> bool:
    """Says how long the ordering of a large pool on the CPU will take.

    Args:
        embedding: Of the pool.
        run: Orders the first ``k`` of it.
        k: Ranks to order; None for all.

    Returns:
        Whether the pool is large, so that something was said.
    """
    n, device = len(embedding), embedding.logit_grad.device.type
    if n <= _LARGE_POOL or device != "cpu":
        return False
    ranks = n if k is None else min(k, n)
    duration = estimate_duration(lambda steps: run(k=steps), ranks)
    rank_zero_warn(
        f"BadgeCallback: ordering {ranks:,} of {n:,} samples on the CPU will take about "
        f"{duration} (h:mm:ss); k=... orders only the first k"
    )
    return True


def estimate_duration(run_first: Callable[[int], object], steps: int) -> timedelta:
    """Times the first few steps of a job and returns what all of them will take.

    Args:
        run_first: Runs the first so many steps.
        steps: How many there are.

    Example:
        >>> estimate_duration(lambda steps: None, steps=1)
        datetime.timedelta(seconds=1)
    """
    few, more = PROBED
    took = [_seconds(run_first, few), _seconds(run_first, more)]
    # The difference leaves out what is done once, before the first step.
    each = max(0.0, took[1] - took[0]) / (more - few)
    return timedelta(seconds=math.ceil(took[0] + each * max(0, steps - few)))


def _seconds(run_first: Callable[[int], object], steps: int) -> float:
    started = time.perf_counter()
    run_first(steps)
    return time.perf_counter() - started
