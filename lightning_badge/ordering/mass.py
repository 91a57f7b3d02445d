"""Sampling masses as integers, and draws with probability proportional to them.

A mass is rounded up to an integer number of units. The unit is a power of two, chosen such that the
sum over the pool uses 62 bits. Integer sums do not depend on the order of summation, so the rows
may be split over blocks, threads or processes. Candidates are accepted with probability
mass / weight, which corrects for the rounding: the distribution stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# int64 without the sign bit and one bit for rounding up.
BITS = 62
SMALLEST_EXPONENT = -1000


@dataclass(frozen=True, eq=False)
class Mass:
    """The masses of ``r`` rows.

    Attributes:
        weights: Masses in units, rounded up, ``[r]`` int64.
        unit: A power of two, ``[]`` float64.
        largest: The largest mass, ``[]`` float64.
    """

    weights: Tensor
    unit: Tensor
    largest: Tensor

    @classmethod
    def of(cls, mass: Tensor, n: int) -> Mass:
        """Rounds masses up, without a host sync.

        Args:
            mass: ``[r]`` float64, 0 or more; ``r`` is at least 1.
            n: Size of the pool, at least ``r``; determines the unit.
        """
        largest = mass.amax()
        # mass < 2**exponent, and n masses fit into BITS bits, with one bit for rounding up.
        exponent = torch.frexp(largest).exponent + n.bit_length() + 1 - BITS
        # 2**exponent from its bits, because torch.ldexp computes the power in float32.
        biased = exponent.long().clamp(min=SMALLEST_EXPONENT) + 1023
        unit = (biased << 52).view(torch.float64)
        return cls((mass / unit).ceil_().long(), unit, largest)

    @property
    def value(self) -> Tensor:
        """The total mass as float64 ``[]``; infinite if a mass is infinite."""
        total = self.weights.sum().double() * self.unit
        return total.where(self.largest.isfinite(), torch.inf)

    def draw(self, uniforms: Tensor, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws rows with probability proportional to their weights.

        The result is meaningless if ``value`` is 0.

        Args:
            uniforms: ``[b]`` float64 in [0, 1).
            order: Order of the rows in which the weights are summed, ``[r]``; None: the given
                order.

        Returns:
            Rows ``[b]`` int64, and their weights times the unit ``[b]`` float64.
        """
        weights = self.weights.clone() if order is None else self.weights[order]
        cumulative = weights.cumsum_(0)
        total = cumulative[-1]
        targets = torch.minimum((uniforms * total).long(), total - 1)
        places = torch.searchsorted(cumulative, targets, right=True)
        places = places.clamp(max=len(cumulative) - 1)
        rows = places if order is None else order[places]
        return rows, self.weights[rows] * self.unit
