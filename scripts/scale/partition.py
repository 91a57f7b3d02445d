"""What is lost if a pool is cut at random and each part is ordered alone, and what k-means|| gives.

The measure is the potential after k centers: the sum, over all rows, of the squared distance to the
nearest center. Figures are relative to that of one ordering of the whole pool.
"""

from collections.abc import Callable
from statistics import mean

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge import GradientEmbedding, order
from lightning_badge.kernels import Factors

ROUNDS = 5  # of k-means||, as its authors advise
_BLOCK = 4096

Positions = npt.NDArray[np.int64]


def sq_dist(rows: Factors, centers: Factors) -> Tensor:
    """Returns squared distances ``[n, m]`` between gradient embeddings."""
    inner = (rows.logit_grad @ centers.logit_grad.T) * (rows.penultimate @ centers.penultimate.T)
    return (rows.sq_norm[:, None] + centers.sq_norm - 2 * inner.double()).clamp_(min=0)


def nearest(pool: GradientEmbedding, centers: Positions) -> tuple[Tensor, Tensor]:
    """Returns the squared distance ``[n]`` of each row to the nearest center, and which that is."""
    rows = pool.factors
    chosen = rows.take(torch.from_numpy(centers))
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(pool), _BLOCK)]
    found = [sq_dist(rows.take(block), chosen).min(dim=1) for block in blocks]
    return torch.cat([block.values for block in found]), torch.cat([b.indices for b in found])


def whole(pool: GradientEmbedding, k: int, seed: int) -> Positions:
    """Orders the whole pool."""
    return order(pool, k=k, seed=seed).sample_ids.astype(np.int64)


def in_parts(pool: GradientEmbedding, k: int, seed: int, parts: int) -> Positions:
    """Cuts the pool at random into parts of one size, and orders each alone."""
    shuffled = np.random.default_rng(seed).permutation(len(pool))
    chosen = []
    for part, positions in enumerate(np.array_split(shuffled, parts)):
        n_centers = len(range(part, k, parts))
        if not n_centers:
            continue
        rows = torch.from_numpy(positions)
        alone = GradientEmbedding(
            pool.logit_grad[rows],
            pool.penultimate[rows],
            pool.sq_norm[rows],
            positions,
        )
        chosen.append(whole(alone, n_centers, seed + part))
    return np.concatenate(chosen)


def uniform(pool: GradientEmbedding, k: int, seed: int) -> Positions:
    """Draws rows uniformly."""
    return np.random.default_rng(seed).choice(len(pool), k, replace=False)


def oversampled(pool: GradientEmbedding, k: int, seed: int, candidates: int) -> Positions:
    """Seeds by k-means|| (Bahmani et al. 2012, arXiv 1203.6402) and reclusters the candidates.

    Each of a few rounds takes every row with probability proportional to its squared distance; the
    candidates, weighted by the rows nearest to them, are ordered by weighted k-means++.
    """
    generator = np.random.default_rng(seed)
    chosen = new = generator.integers(len(pool), size=1)
    distance = np.full(len(pool), np.inf)
    for _ in range(ROUNDS):
        np.minimum(distance, nearest(pool, new)[0].numpy(), out=distance)
        probability = candidates / ROUNDS * distance / distance.sum()
        new = np.flatnonzero(generator.random(len(pool)) < probability)
        chosen = np.union1d(chosen, new)
    weight = np.bincount(nearest(pool, chosen)[1].numpy(), minlength=len(chosen)).astype(float)
    rows = pool.factors.take(torch.from_numpy(chosen))
    between = sq_dist(rows, rows).numpy()
    picked = [int(generator.choice(len(chosen), p=weight / weight.sum()))]
    now = between[picked[0]].copy()
    while len(picked) < min(k, len(chosen)):
        mass = weight * now
        if not mass.sum():
            break
        picked.append(int(generator.choice(len(chosen), p=mass / mass.sum())))
        np.minimum(now, between[picked[-1]], out=now)
    return chosen[picked]


def print_partition(pool: GradientEmbedding, k: int, seeds: int) -> None:
    """Prints the potential of each way of choosing ``k`` centers, relative to the whole ordering.

    Args:
        pool: The pool.
        k: Number of centers.
        seeds: Over how many seeds means are taken.
    """
    ways: dict[str, Callable[[int], Positions]] = {
        "whole": lambda seed: whole(pool, k, seed),
        **{
            f"{parts} parts": lambda seed, parts=parts: in_parts(pool, k, seed, parts)  # type: ignore[misc]
            for parts in (2, 8, 32)
        },
        "uniform": lambda seed: uniform(pool, k, seed),
        f"k-means||, {2 * k:,} candidates": lambda seed: oversampled(pool, k, seed, 2 * k),
    }
    print(f"n={len(pool):,} k={k:,}, means over {seeds} seeds")
    found: dict[str, float] = {}
    for name, choose in ways.items():
        values = [float(nearest(pool, choose(seed))[0].sum()) for seed in range(seeds)]
        found[name] = mean(values)
        spread = (max(values) - min(values)) / found["whole"]
        change = found[name] / found["whole"] - 1
        print(f"{name}: {change:+.1%} of the potential, largest to smallest {spread:.1%}")
