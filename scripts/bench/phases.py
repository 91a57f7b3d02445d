"""Where the core seconds of an ordering on the CPU go, phase by phase.

Core seconds, because other work on the same machine changes them less than seconds.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from statistics import median
from typing import Any
from unittest.mock import patch

from lightning_badge import GradientEmbedding
from lightning_badge.kernels import numba_pruned
from lightning_badge.kernels.numba_pruned import compiled, row_tiles, tile_update
from lightning_badge.ordering import LazyOrdering
from lightning_badge.ordering.engine import MinDistanceEngine
from lightning_badge.ordering.strategies import kmeans_pp

BACKEND = numba_pruned.NumbaBackend
# What is timed, without the phases inside it.
PHASES: list[tuple[str, Any, str]] = [
    ("draw", BACKEND, "draw"),
    ("accept", BACKEND, "accept"),
    ("does pruning pay", numba_pruned, "_pruning_pays"),
    ("tests and products", tile_update, "update"),
    ("the same, no tiles", compiled, "update"),
    ("arrange rows", row_tiles, "row_tiles"),
    ("centers", BACKEND, "with_centers"),
    ("masses", MinDistanceEngine, "_sum"),
    ("report", MinDistanceEngine, "report"),
    ("sort rows", MinDistanceEngine, "compact"),
    ("rest of a block", kmeans_pp.KMeansPP, "_next_block"),
]
OTHER = "outside of blocks"


def print_phases(pool: GradientEmbedding, k: int | None, repeats: int) -> None:
    """Prints the core seconds of each phase of an ordering.

    Args:
        pool: The pool, on the CPU.
        k: Ranks; None orders the whole pool.
        repeats: Number of orderings.
    """
    _order(pool, 100)
    runs = []
    for _ in range(repeats):
        with timed() as seconds:
            started = time.process_time()
            counters = _order(pool, k)
            whole = time.process_time() - started
        seconds[OTHER] = whole - sum(seconds.values())
        runs.append((whole, seconds))
    wholes = [whole for whole, _ in runs]
    print(
        f"n={len(pool):,} k={k or len(pool):,}: median {median(wholes):.3f} s, minimum "
        f"{min(wholes):.3f} s; {counters.blocks:,} blocks, {counters.candidates:,} candidates, "
        f"{counters.pairs:,} pairs, {counters.multiplied / max(counters.pairs, 1):.3%} multiplied"
    )
    for name in [*(name for name, _, _ in PHASES), OTHER]:
        of_runs = [seconds.get(name, 0.0) for _, seconds in runs]
        print(
            f"  {name:20} {median(of_runs):8.3f} s {median(of_runs) / median(wholes):6.1%} "
            f"{1e3 * median(of_runs) / counters.blocks:8.2f} ms a block"
        )


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Yields the core seconds of each phase of what runs meanwhile."""
    seconds: dict[str, float] = {}
    running: list[float] = []  # of each phase that runs: seconds of the phases inside it

    def timing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **more: Any) -> Any:
            running.append(0.0)
            started = time.process_time()
            try:
                return function(*arguments, **more)
            finally:
                took = time.process_time() - started
                seconds[name] = seconds.get(name, 0.0) + took - running.pop()
                if running:
                    running[-1] += took

        return call

    with ExitStack() as stack:
        for name, owner, attribute in PHASES:
            stack.enter_context(
                patch.object(owner, attribute, timing(name, getattr(owner, attribute)))
            )
        yield seconds


def _order(pool: GradientEmbedding, k: int | None) -> Any:
    lazy = LazyOrdering(pool, backend="numba")
    lazy.take(k)
    return lazy.counters
