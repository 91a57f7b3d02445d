"""What an ordering on the CPU needs in memory beyond the factors of its pool."""

import gc
from pathlib import Path

from lightning_badge import GradientEmbedding
from lightning_badge.ordering import LazyOrdering

# Enough rows for everything that is compiled for large pools.
WARM_ROWS, WARM_RANKS = 25_000, 3_000


def print_memory(pool: GradientEmbedding, k: int | None) -> None:
    """Prints the growth of the resident memory at its peak, of Linux.

    Args:
        pool: The pool, on the CPU.
        k: Ranks; None orders the whole pool.
    """
    LazyOrdering(pool.take(slice(0, WARM_ROWS)), backend="numba").take(WARM_RANKS)
    factors = sum(part.numel() * part.element_size() for part in pool.factors.tensors)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on
    before = _kilobytes("VmRSS")
    LazyOrdering(pool, backend="numba").take(k)
    grown = 1024 * (_kilobytes("VmHWM") - before)
    print(
        f"n={len(pool):,} k={k or len(pool):,}: {grown / 2**20:,.0f} MiB beyond the factors, "
        f"{grown / factors:.1%} of them, {grown / len(pool):.0f} bytes a row"
    )


def _kilobytes(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
