"""Compares the model of the cost with orderings of synthetic pools on this machine.

Each ordering runs in a process of its own. Core seconds are compared, not seconds: other programs
on the machine change those less.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from scale.model import Machine, Pool, cost, size

# n, k and the kind of pool; 0 ranks are all.
CASES = [
    (30_000, 0, "concentrated"),
    (100_000, 0, "concentrated"),
    (100_000, 10_000, "concentrated"),
    (300_000, 10_000, "concentrated"),
    (1_000_000, 10_000, "concentrated"),
    (10_000, 0, "wide"),
    (30_000, 3_000, "wide"),
]
_WIDTHS = {"concentrated": (256, 10), "wide": (2048, 1000)}
_ONE = """
import json, sys, time
from shared.pools import make_pool
from lightning_badge.ordering import LazyOrdering

def resident():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])

def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

n, k, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
LazyOrdering(make_pool(kind, 2000, "cpu", None), backend="numba").take(100)  # compiled now
imported = resident()
pool = make_pool(kind, n, "cpu", None)
started, core = time.perf_counter(), time.process_time()
lazy = LazyOrdering(pool)
lazy.take(k or None)
print(json.dumps({
    "seconds": time.perf_counter() - started, "core_s": time.process_time() - core,
    "memory": peak() - imported, "blocks": lazy.counters.blocks, "pairs": lazy.counters.pairs,
    "candidates": lazy.counters.candidates, "multiplied": lazy.counters.multiplied,
}))
"""


def measure(n: float, k: float, kind: str) -> dict[str, Any]:
    """Returns what an ordering cost, in a process of its own."""
    command = [sys.executable, "-c", _ONE, str(int(n)), str(int(k)), kind]
    scripts = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=scripts)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def print_check(machine: Machine, cases: list[int]) -> None:
    """Prints for some of the cases what the model says, what was measured, and the deviation."""
    for n, k, kind in [CASES[number] for number in cases or range(len(CASES))]:
        h, c = _WIDTHS[kind]
        print_measured(Pool(n, h, c, k), machine)


def print_measured(pool: Pool, machine: Machine) -> None:
    """Prints the same of one pool, whose widths have to be those of a synthetic kind."""
    kinds: dict[tuple[float, float], str] = {widths: kind for kind, widths in _WIDTHS.items()}
    if (kind := kinds.get((pool.h, pool.c))) is None:
        raise SystemExit(f"error: expected h and c to be one of {sorted(kinds)}")
    model, found = cost(pool, machine), measure(pool.n, pool.k, kind)
    ranks = f"{pool.k:,.0f}" if pool.k else "all"
    print(
        f"n={pool.n:,.0f} h+c={pool.h + pool.c:,.0f} k={ranks}: model {model.core_s:.1f} core s, "
        f"measured {found['core_s']:.1f} in {found['seconds']:.1f} s "
        f"({model.core_s / found['core_s'] - 1:+.0%}); memory {size(model.memory)}, measured "
        f"{size(found['memory'])} ({model.memory / found['memory'] - 1:+.0%}); blocks "
        f"{model.blocks:.0f}, {found['blocks']}",
        flush=True,
    )
