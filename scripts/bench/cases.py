"""The comparisons of the benchmark and the code that runs one."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from statistics import median
from typing import Any

from bench import peers
from lightning_badge import GradientEmbedding

COUNTED = ("pairs", "multiplied", "blocks", "candidates", "accepted", "evaluations", "columns")


@dataclass(frozen=True)
class Peer:
    """A contestant of a comparison.

    Attributes:
        run: Orders the first ``k`` rows of a pool.
        at_most: Maximum number of ranks to measure; times for more are extrapolated linearly.
        needs: A package without which it is left out.
    """

    run: Callable[[GradientEmbedding, int], Any]
    at_most: int | None = None
    needs: str | None = None

    def is_there(self, name: str) -> bool:
        """Returns whether it can run; says in one line if it cannot."""
        if self.needs is None or find_spec(self.needs) is not None:
            return True
        print(f"{name}: left out, because the package {self.needs} is not installed")
        return False


@dataclass
class Result:
    """The times of all contestants in one comparison.

    Attributes:
        case: Name of the comparison.
        n: Number of rows.
        k: Number of ranks.
        seconds: Seconds of each run, by contestant.
        extrapolated: Contestants whose times are extrapolated.
        counts: Work counters of our orderings.
    """

    case: str
    n: int
    k: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    extrapolated: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def line(self) -> str:
        """Formats the comparison for the terminal: our time, then the others with their ratios."""
        (ours, own), *others = self.seconds.items()
        lines = [f"{self.case}: n={self.n:,} k={self.k:,}", f"  {ours}: {_times(own)}"]
        for name, seconds in others:
            ratio = median(seconds) / median(own)
            least = min(seconds) / min(own)
            mark = " (extrapolated)" if name in self.extrapolated else ""
            ratios = f"{ratio:.1f}x by median, {least:.1f}x by minimum"
            lines.append(f"  {name}: {_times(seconds)}{mark}; {ratios}")
        if self.counts:
            lines.append(f"  counted: {', '.join(f'{k} {v:,}' for k, v in self.counts.items())}")
        return "\n".join(lines)

    def facts(self) -> dict[str, Any]:
        """Returns the comparison as plain values."""
        return {**asdict(self), "extrapolated": sorted(self.extrapolated)}


@dataclass(frozen=True)
class Case:
    """A comparison.

    Attributes:
        name: Name on the command line.
        n: Number of rows.
        k: Number of ranks; None for all.
        contestants: The contestants by name, ours first.
        data: Kind of pool; None for the one chosen on the command line.
    """

    name: str
    n: int
    k: int | None
    contestants: dict[str, Peer]
    data: str | None = None

    def run(self, pool: GradientEmbedding, k: int | None, repeats: int) -> Result:
        """Runs the contestants in turn, after one warm-up each."""
        k = len(pool) if k is None else min(k, len(pool))
        result = Result(self.name, len(pool), k)
        contestants = {n: peer for n, peer in self.contestants.items() if peer.is_there(n)}
        for name, peer in contestants.items():
            result.seconds[name] = []
            peer.run(pool, min(k, 100, peer.at_most or 100))
            if peer.at_most and peer.at_most < k:
                result.extrapolated.add(name)
        for _ in range(repeats):
            for name, peer in contestants.items():
                ranks = min(k, peer.at_most or k)
                started = time.perf_counter()
                done = peer.run(pool, ranks)
                result.seconds[name].append((time.perf_counter() - started) * k / ranks)
                if counters := getattr(done, "counters", None):
                    counts = {key: getattr(counters, key, 0) for key in COUNTED}
                    result.counts |= {f"{name} {key}": n for key, n in counts.items() if n}
        return result


def _times(seconds: list[float]) -> str:
    return f"median {median(seconds):.3f} s, minimum {min(seconds):.3f} s"


def growth(name: str, n: int) -> Case:
    """Returns the case of ordering all ``n`` rows, with the contestants that can handle them."""
    contestants = {"ours": OURS, "factored loop": Peer(peers.factored_loop, at_most=200)}
    if n <= 60_000:
        contestants |= {
            "ours without numba": Peer(peers.ours_in_torch),
            "the post's loop": Peer(peers.dense_loop, at_most=10),
            "scikit-learn, one trial": Peer(peers.sklearn_one_trial, at_most=10),
        }
    return Case(f"growth-{name}", n, None, contestants)


OURS, LOOP = Peer(peers.ours), Peer(peers.factored_loop, at_most=2_000)
SIZES = {"1k": 1_000, "4k": 4_000, "15k": 15_000, "60k": 60_000, "250k": 250_000, "1m": 1_000_000}
GROWTH = {f"growth-{name}": growth(name, n) for name, n in SIZES.items()}
CASES = {
    case.name: case
    for case in (
        Case("full-15k", 15_000, None, {"ours": OURS, "factored loop": LOOP}),
        Case(
            "full-60k",
            60_000,
            None,
            {
                "ours": OURS,
                "ours without numba": Peer(peers.ours_in_torch),
                "ours unpruned": Peer(peers.ours_unpruned),
            },
        ),
        Case(
            "k1000-15k",
            15_000,
            1_000,
            {
                "ours": OURS,
                "scikit-learn, one trial": Peer(peers.sklearn_one_trial, at_most=50),
                "scikit-learn": Peer(peers.sklearn_default, at_most=50),
                "the post's loop": Peer(peers.dense_loop, at_most=50),
                "scikit-activeml Badge": Peer(peers.skactiveml_badge, at_most=200),
            },
        ),
        Case(
            "coreset-60k",
            60_000,
            1_000,
            {
                "ours": Peer(peers.ours_k_center),
                "loop": Peer(peers.k_center_loop),
                "scikit-activeml CoreSet": Peer(peers.skactiveml_core_set, at_most=200),
            },
        ),
        Case(
            "post-15k",
            15_000,
            None,
            {"ours": OURS, "the post's loop": Peer(peers.dense_loop, at_most=50)},
        ),
        Case(
            "herding-15k",
            15_000,
            1_000,
            {
                "ours": Peer(peers.ours_maxherding),
                "naive greedy, dense": Peer(peers.herding_loop, at_most=10),
                "apricot, dense": Peer(peers.apricot_facility, needs="apricot"),
                "submodlib, dense": Peer(peers.submodlib_facility, needs="submodlib"),
            },
        ),
        Case(
            "herding-torch-15k",
            15_000,
            1_000,
            {
                "ours": Peer(peers.ours_maxherding),
                "ours without numba": Peer(peers.maxherding_in_torch, at_most=100),
            },
        ),
        Case("herding-full-15k", 15_000, None, {"ours": Peer(peers.ours_maxherding)}),
        Case("uherding-15k", 15_000, 1_000, {"ours": Peer(peers.ours_uherding)}),
        Case("herding-60k", 60_000, 1_000, {"ours": Peer(peers.ours_maxherding)}),
        Case("herding-summands-60k", 60_000, 1_000, {"ours": Peer(peers.maxherding_summands)}),
        Case("first10-1m", 1_000_000, 10, {"ours": OURS}, data="concentrated"),
        Case("wide-200k", 200_000, None, {"ours": OURS}, data="wide"),
        Case("full-1m", 1_000_000, None, {"ours": OURS}, data="concentrated"),
        Case("first10000-1m", 1_000_000, 10_000, {"ours": OURS}, data="concentrated"),
        Case("clusters-4k", 4_000, None, {"ours": OURS, "factored loop": LOOP}, data="clusters"),
        Case("random-15k", 15_000, None, {"ours": OURS, "factored loop": LOOP}, data="random"),
        Case("copies-15k", 15_000, None, {"ours": OURS, "factored loop": LOOP}, data="copies"),
    )
}
