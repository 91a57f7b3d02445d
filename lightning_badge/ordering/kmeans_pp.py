"""k-means++ seeding (Arthur & Vassilvitskii 2007) as an ordering: BADGE, arXiv 1906.03671."""

from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Factors, update_min_sq_dist
from lightning_badge.ordering.base import Picks, strategy

FirstCenter: TypeAlias = Literal["uniform", "max_norm"]


@strategy("badge")
def badge(
    embedding: GradientEmbedding,
    k: int,
    *,
    seed: int,
    backend: str,
    first_center: FirstCenter = "uniform",
) -> Picks:
    """Draws each rank with probability proportional to its squared distance to those before it.

    Once every row that is left coincides with a chosen one, the rest follows in a seeded shuffle
    with gain 0.

    Args:
        embedding: The pool, ``n`` rows.
        k: Ranks asked for, ``1..n``.
        seed: Of every draw.
        backend: Who computes distances.
        first_center: ``uniform``, a uniform draw, or ``max_norm``, the longest embedding.

    Raises:
        OrderingError: An unknown ``first_center``.
    """
    if first_center not in get_args(FirstCenter):
        raise OrderingError(
            f"first_center: expected one of {', '.join(get_args(FirstCenter))}, "
            f"got {first_center!r}"
        )
    draws = np.random.default_rng(seed)
    factors = Factors(*(factor.double() for factor in embedding.factors))
    position, gain = _first(factors, draws, first_center)
    positions, gains = [position], [gain]
    min_sq_dist = torch.full_like(factors.sq_norm, torch.inf)
    while len(positions) < k:
        center = factors.take(torch.tensor([position], device=min_sq_dist.device))
        update_min_sq_dist(min_sq_dist, factors, center, backend=backend)
        min_sq_dist[position] = 0.0
        mass = min_sq_dist.cumsum(dim=0)
        if mass[-1] <= 0:
            return _with_tail(positions, gains, len(embedding), k, draws)
        position = _draw(mass, draws.random())
        positions.append(position)
        gains.append(float(min_sq_dist[position]))
    return Picks(np.array(positions), np.array(gains))


def _first(
    factors: Factors, draws: np.random.Generator, first_center: FirstCenter
) -> tuple[int, float]:
    if first_center == "uniform":
        return int(draws.integers(len(factors.sq_norm))), np.nan
    position = int(factors.sq_norm.argmax())
    return position, float(factors.sq_norm[position])


def _draw(mass: Tensor, uniform: float) -> int:
    """Returns the row whose share of the cumulative ``mass`` ``[n]`` holds ``uniform``."""
    target = mass[-1] * uniform
    position = int(torch.searchsorted(mass, target, right=True))
    # Rounding may lift the target to the total; the last row with any mass is then meant.
    return min(position, int(torch.searchsorted(mass, mass[-1])))


def _with_tail(
    positions: list[int], gains: list[float], n: int, k: int, draws: np.random.Generator
) -> Picks:
    rest = draws.permutation(np.setdiff1d(np.arange(n), positions))
    tail = rest[: k - len(positions)]
    return Picks(np.append(positions, tail), np.append(gains, np.zeros(len(tail))))
