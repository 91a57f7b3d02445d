"""Masses of rows as integers, and rows drawn with probability proportional to them.

A mass is rounded up to a whole number of units. The unit is a power of two, so small that the sum
over the pool fills 62 bits. Sums of integers do not depend on the order of summation: the rows may
be split over blocks, threads or processes. Rounding up is corrected by whoever accepts a candidate
with probability mass / weight, so the law stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Of int64, one bit is the sign and one is room for rounding up.
BITS = 62
SMALLEST_EXPONENT = -1000


@dataclass(frozen=True, eq=False)
class Mass:
    """The mass of the rows at hand.

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
        """Rounds masses up; nothing leaves the device.

        Args:
            mass: ``[r]`` float64, not negative, r of 1 or more.
            n: Rows that the sum may run over, at least ``r``; the unit depends on it.
        """
        largest = mass.amax()
        # mass < 2**exponent, and n masses fit into BITS bits with one bit for rounding up.
        exponent = torch.frexp(largest).exponent + n.bit_length() + 1 - BITS
        # By its bits: torch.ldexp takes the power in float32.
        biased = exponent.long().clamp(min=SMALLEST_EXPONENT) + 1023
        unit = (biased << 52).view(torch.float64)
        return cls((mass / unit).ceil_().long(), unit, largest)

    @property
    def value(self) -> Tensor:
        """The total as a float64 ``[]``; infinite where a mass is."""
        total = self.weights.sum().double() * self.unit
        return total.where(self.largest.isfinite(), torch.inf)

    def draw(self, uniforms: Tensor, order: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Draws rows with probability proportional to their weights.

        Without any mass the result means nothing; ``value`` tells.

        Args:
            uniforms: ``[b]`` float64 in [0, 1).
            order: Order of the rows in which weights are cumulated, ``[r]``; None: as they stand.

        Returns:
            Rows ``[b]`` int64, and what they were drawn by, their weights times the unit ``[b]``.
        """
        weights = self.weights.clone() if order is None else self.weights[order]
        cumulative = weights.cumsum_(0)
        total = cumulative[-1]
        targets = torch.minimum((uniforms * total).long(), total - 1)
        places = torch.searchsorted(cumulative, targets, right=True)
        places = places.clamp(max=len(cumulative) - 1)
        rows = places if order is None else order[places]
        return rows, self.weights[rows] * self.unit
