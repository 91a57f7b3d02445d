"""Similarities ``exp(-d^2 / sigma^2)`` that are the same integers on every back end.

Rows are rounded to a grid of ``2**-25`` of the largest norm. A product of two coordinates is then a
multiple of ``2**-50``, and by the Cauchy-Schwarz inequality so small that all partial sums of an
inner product are exact in float64. Squared distances therefore do not depend on the order of
summation, that is, on the back end, the threads or the size of a block. The exponential function
consists of additions and multiplications in a fixed order. Its value is rounded to ``2**-24``.

So a sum of weighted similarities is a sum of integers, gains of candidates compare exactly, and
equal rows have exactly the similarity 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import torch
from torch import Tensor

from lightning_badge.kernels.factors import row_blocks, row_sq_norm

GRID_BITS = 25
# The similarity of equal rows.
ONE = 1 << 24
# exp(-z) is the polynomial at z / 64, squared six times. Its relative error is below 3e-9 up to
# FARTHEST; beyond, exp(-18) is less than half of a unit and rounds to 0.
SQUARINGS = 6
FARTHEST = 18.0 / 2**SQUARINGS
COEFFICIENTS = tuple((-1.0) ** k / factorial(k) for k in range(9))
# Largest total of weights times similarities.
TOTAL_BITS = 62
WEIGHT_BITS = 20
TILE = 1024


@dataclass(frozen=True, eq=False)
class GridRows:
    """Rows on the grid.

    Attributes:
        coordinates: ``[n, h]`` int32, in steps of the grid.
        sq_norm: ``[n]`` float64, integers.
    """

    coordinates: Tensor
    sq_norm: Tensor

    @classmethod
    def of(cls, activations: Tensor, *, normalise: bool, step: float) -> GridRows:
        """Rounds activations ``[n, h]`` to the grid.

        Args:
            activations: ``[n, h]``, finite.
            normalise: Whether to divide each row by its norm first; zero rows stay zero.
            step: Size of a grid step, a power of two; no norm may exceed ``2**GRID_BITS`` steps.
        """
        coordinates = torch.empty_like(activations, dtype=torch.int32)
        sq_norm = activations.new_empty(len(activations), dtype=torch.float64)
        for block in row_blocks(activations):
            rows = activations[block].double()
            if normalise:
                norm = row_sq_norm(rows).sqrt_()
                rows /= norm.where(norm > 0, 1.0)[:, None]
            rows = rows.div_(step).round_()
            coordinates[block], sq_norm[block] = rows.int(), rows.square_().sum(dim=1)
        return cls(coordinates, sq_norm)

    def __len__(self) -> int:
        return len(self.sq_norm)

    def take(self, rows: Tensor | slice) -> GridRows:
        """Returns the rows at positions ``[m]`` or in a slice."""
        return GridRows(self.coordinates[rows], self.sq_norm[rows])

    def concatenate(self, other: GridRows) -> GridRows:
        """Returns these rows followed by those of ``other``."""
        return GridRows(
            torch.cat([self.coordinates, other.coordinates]),
            torch.cat([self.sq_norm, other.sq_norm]),
        )


def grid_step(largest: float) -> float:
    """Returns the grid step for rows whose norms are at most ``largest``, a power of two."""
    step = 2.0**-GRID_BITS
    while largest > step * 2**GRID_BITS:
        step *= 2.0
    while 0.0 < largest <= step * 2 ** (GRID_BITS - 1):
        step *= 0.5
    return step


def falloff_of(sigma: float, step: float) -> float:
    """Returns the factor of squared distances in grid steps, from which similarities follow.

    If ``sigma`` is 0, or far below a grid step, only equal rows are similar.
    """
    steps: float = (sigma / step) ** 2 * 2.0**SQUARINGS
    return FARTHEST if steps * FARTHEST <= 1.0 else 1.0 / steps


def sq_distances(rows: GridRows, centers: GridRows) -> Tensor:
    """Returns exact squared distances ``[r, m]`` float64, in squared grid steps."""
    inner = rows.coordinates.double() @ centers.coordinates.double().T
    return inner.mul_(-2.0).add_(rows.sq_norm[:, None] + centers.sq_norm[None, :])


def similarities(rows: GridRows, centers: GridRows, falloff: float) -> Tensor:
    """Returns similarities ``[r, m]`` int32 in units of ``1 / ONE``.

    Args:
        rows: ``r`` rows.
        centers: ``m`` rows.
        falloff: See `falloff_of`.
    """
    scaled = sq_distances(rows, centers).mul_(falloff).clamp_(max=FARTHEST)
    power = torch.full_like(scaled, COEFFICIENTS[-1])
    for coefficient in reversed(COEFFICIENTS[:-1]):
        power.mul_(scaled).add_(coefficient)
    for _ in range(SQUARINGS):
        power.square_()
    return power.mul_(ONE).add_(0.5).int()


def raise_to(best: Tensor, rows: GridRows, centers: GridRows, falloff: float) -> Tensor:
    """Returns the largest of ``best`` ``[n]`` int32 and each row's similarities to ``centers``."""
    best = best.clone()
    for start in range(0, len(rows), TILE):
        part = slice(start, start + TILE)
        for first in range(0, len(centers), TILE):
            found = similarities(rows.take(part), centers.take(slice(first, first + TILE)), falloff)
            torch.maximum(best[part], found.amax(dim=1), out=best[part])
    return best


def weight_unit(largest: float, n: int) -> float:
    """Returns the unit of weights, a power of two, for ``n`` rows of weights up to ``largest``.

    All sums of weights times similarities then fit into ``TOTAL_BITS`` bits.
    """
    bits = min(WEIGHT_BITS, TOTAL_BITS - ONE.bit_length() - n.bit_length())
    exponent = int(torch.frexp(torch.tensor(largest, dtype=torch.float64)).exponent)
    unit: float = 2.0 ** (exponent - bits)
    return unit
