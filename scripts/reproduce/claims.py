"""Measurements of the post's claims, with intervals if an ordering is random."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any

import numpy as np

from lightning_badge import Ordering, order
from lightning_badge.research.comparison.statistics import mean_interval
from lightning_badge.research.viz.norms import share_near_origin
from reproduce.pool import Pool

FIRST, NEAR = (10, 50, 100), (0.05, 0.1, 0.25)
NINE, NEARLY_ALL = 9, 7
RANKS = 2000  # number of ranks of each ordering
# Whether a strategy is random; a deterministic one needs only one ordering.
DRAWS = {"badge": True, "entropy": False, "coreset": True, "random": True}


@dataclass(frozen=True)
class Measurement:
    """A measured quantity, with the claim of the post about it if there is one.

    Attributes:
        name: Description of the quantity.
        unit: ``images`` or ``share``.
        values: One value for each ordering; a single value if nothing is random.
        bound: For the claim to hold, the interval must be above the bound, or a single value must
            reach it; None without a claim.
        claim: The claim of the post; empty for a quantity measured only for comparison.
    """

    name: str
    unit: str
    values: list[float]
    bound: float | None = None
    claim: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the claim holds; None without a claim."""
        if self.bound is None:
            return None
        low, _ = interval(self.values)
        return low > self.bound if len(self.values) > 1 else low >= self.bound

    def facts(self) -> dict[str, Any]:
        """Returns the measurement as plain values."""
        return {**asdict(self), "mean": mean(self.values), "holds": self.holds}


def in_words(value: float, unit: str) -> str:
    """Formats a measured value for tables."""
    return f"{value:.1%}" if unit == "share" else f"{value:.3g}"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the 95 % t-interval of the mean; of a single value, the value twice."""
    if len(values) < 2:
        return mean(values), mean(values)
    center, half_width = mean_interval(values)
    return float(center - half_width), float(center + half_width)


def order_by_all(pool: Pool, seeds: int) -> dict[str, list[Ordering]]:
    """Orders the first ranks of the pool by every strategy, with several seeds if it is random."""
    return {
        strategy: [
            order(pool.embedding, strategy, k=RANKS, seed=seed)
            for seed in range(seeds if draws else 1)
        ]
        for strategy, draws in DRAWS.items()
    }


def seconds_of_full_ordering(pool: Pool, repeats: int = 3) -> float:
    """Returns the median seconds of ordering the whole pool; kernels must be compiled before."""
    seconds = []
    for seed in range(repeats):
        started = time.perf_counter()
        order(pool.embedding, seed=seed)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def measure(pool: Pool, orderings: dict[str, list[Ordering]]) -> list[Measurement]:
    """Measures the quantities of the post's claims, and those of other strategies to compare."""
    ranked = {
        strategy: np.stack([pool.rows(ordering) for ordering in several])
        for strategy, several in orderings.items()
    }
    names = " and ".join(pool.class_names[label] for label in pool.unseen)
    in_pool = float(pool.is_unseen.mean())
    measurements = []
    for strategy in ("entropy", "badge", "random"):
        counts = [float(np.bincount(pool.labels[rows[:NINE]]).max()) for rows in ranked[strategy]]
        claim = "uncertainty's nine are nearly all one digit" if strategy == "entropy" else ""
        measurements.append(
            Measurement(
                f"images of the commonest class in the first {NINE} of {strategy}",
                *("images", counts, NEARLY_ALL if claim else None, claim),
            )
        )
    for strategy, rows in ranked.items():
        for k in FIRST:
            shares = pool.is_unseen[rows[:, :k]].mean(axis=1).tolist()
            claim = f"BADGE's first picks over-represent {names}" if strategy == "badge" else ""
            name = f"share of {names} in the first {k} of {strategy}"
            measurements.append(
                Measurement(name, "share", shares, in_pool if claim else None, claim)
            )
    for near in NEAR:
        share = share_near_origin(pool.norms, near)
        claim = "90 % of the pool sits near the origin" if near == 0.1 else ""
        name = f"share of the pool with a norm under {near:.0%} of the largest"
        measurements.append(Measurement(name, "share", [share], 0.9 if claim else None, claim))
    return measurements
