"""What MaxHerding loses if its gains are sums over a sample of the pool."""

import time
from typing import Any

import numpy as np
import torch

from lightning_badge import GradientEmbedding, Ordering, order
from lightning_badge.kernels.similarity import ONE, GridRows, falloff_of, grid_step, raise_to

SUMMANDS, RANKS, SEEDS = (20_000, 5_000), (100, 300, 1_000), (0, 1, 2)


def print_summands(pool: GradientEmbedding) -> None:
    """Prints the similarity to the whole pool that samples of summands reach, and all of them.

    For each number of ranks: the objective over the whole pool as a share of the one reached with
    all summands, and the share of equal picks; the smallest and the largest of several seeds.
    """
    ranks = [k for k in RANKS if k <= len(pool)]
    whole, seconds = _timed(pool, "maxherding", max(ranks))
    sigma = float(whole.metadata["sigma"])
    reached = {k: _objective(pool, whole.take(k), sigma) for k in ranks}
    print(f"summands of {len(pool):,} rows, sigma {sigma:.4f}; all: {seconds:.0f} s")
    for k in ranks:
        print(f"  k={k:,}: mean similarity {reached[k] / len(pool):.4f}")
    for summands in (*(m for m in SUMMANDS if m < len(pool)), None):
        options = {"sigma": sigma} if summands is None else {"sigma": sigma, "summands": summands}
        name = "random" if summands is None else "maxherding"
        runs = [_timed(pool, name, max(ranks), seed, **options) for seed in SEEDS]
        took = np.median([seconds for _, seconds in runs])
        print(f"{name if summands is None else f'summands={summands:,}'}: {took:.0f} s")
        for k in ranks:
            share = [_objective(pool, found.take(k), sigma) / reached[k] for found, _ in runs]
            first = set(whole.take(k))
            equal = [len(first & set(found.take(k))) / k for found, _ in runs]
            print(
                f"  k={k:,}: objective {_range(share)}, equal picks {_range(equal)}",
                flush=True,
            )


def _timed(
    pool: GradientEmbedding, name: str, k: int, seed: int = 0, **options: Any
) -> tuple[Ordering, float]:
    """Returns an ordering and its seconds."""
    started = time.perf_counter()
    arguments = {} if name == "random" else options
    found = order(pool, name, k=k, seed=seed, **arguments)
    return found, time.perf_counter() - started


def _objective(pool: GradientEmbedding, chosen: Ordering, sigma: float) -> float:
    """Returns the sum over the pool of the similarity to the nearest chosen row."""
    step = grid_step(1.0)
    falloff = falloff_of(sigma, step)
    rows = GridRows.of(pool.penultimate, normalise=True, step=step)
    row_of = {sample_id: row for row, sample_id in enumerate(pool.sample_ids.tolist())}
    centers = rows.take(torch.tensor([row_of[sample_id] for sample_id in chosen]))
    best = torch.zeros(len(rows), dtype=torch.int32)
    best = raise_to(best, rows, centers, falloff)
    return float(best.double().sum()) / ONE


def _range(values: list[float]) -> str:
    return f"{100 * min(values):.2f} to {100 * max(values):.2f} %"
