"""How long a long job will take, told from its first steps."""

import math
import time
from collections.abc import Callable
from datetime import timedelta

PROBED = (8, 40)


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
