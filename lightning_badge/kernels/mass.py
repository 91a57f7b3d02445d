"""Sampling masses as integers, and draws with probability proportional to them.

A mass is rounded up to an integer number of units. The unit is a power of two, chosen such that the
sum over the pool uses 62 bits. Integer sums do not depend on the order of summation, so the rows
may be split over blocks, threads or processes. Candidates are accepted with probability
mass / weight, which corrects for the rounding: the distribution stays exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

# int64 without the sign bit and one bit for rounding up.
BITS = 62
SMALLEST_EXPONENT = -1000


@dataclass(frozen=True, eq=False)
class Mass:
    """The masses of ``r`` slots.

    Attributes:
        cumulative: Sums of the weights, which are masses in units, rounded up, ``[r]`` int64.
        order: The slots in the order of summation, ``[r]`` int64; None: the given order.
        unit: A power of two, ``[]`` float64.
        largest: The largest mass, ``[]`` float64.
    """

    cumulative: Tensor
    order: Tensor | None
    unit: Tensor
    largest: Tensor

    @classmethod
    def of(cls, mass: Tensor, n: int, order: Tensor | None = None) -> Mass:
        """Rounds masses up and sums them, without a host sync.

        Args:
            mass: ``[r]`` float64, 0 or more; ``r`` is at least 1.
            n: Size of the pool, at least ``r``; determines the unit.
            order: As the attribute.
        """
        largest = mass.amax()
        unit = unit_of(largest, n)
        weights = integer_weights(mass if order is None else mass[order], unit)
        return cls(weights.cumsum_(0), order, unit, largest)

    @cached_property
    def value(self) -> Tensor:
        """The total mass as float64 ``[]``; infinite if a mass is infinite."""
        return (self.cumulative[-1] * self.unit).where(self.largest < torch.inf, torch.inf)

    def draw(self, uniforms: Tensor) -> tuple[Tensor, Tensor]:
        """Draws slots with probability proportional to their weights.

        The result is meaningless if ``value`` is 0.

        Args:
            uniforms: ``[b]`` float64 in [0, 1).

        Returns:
            Slots ``[b]`` int64, and their weights times the unit ``[b]`` float64.
        """
        total = self.cumulative[-1]
        targets = torch.minimum((uniforms * total).long(), total - 1)
        places = torch.searchsorted(self.cumulative, targets, right=True)
        places = places.clamp(max=len(self.cumulative) - 1)
        before = self.cumulative[places - 1].where(places > 0, 0)
        weights = (self.cumulative[places] - before) * self.unit
        return places if self.order is None else self.order[places], weights


def unit_of(largest: Tensor, n: int) -> Tensor:
    """Returns the unit for ``n`` masses of at most ``largest`` ``[]``, a power of two, ``[]``."""
    exponent = torch.frexp(largest).exponent + unit_shift(n)
    # 2**exponent from its bits, because torch.ldexp computes the power in float32.
    biased = exponent.long().clamp(min=SMALLEST_EXPONENT) + 1023
    return (biased << 52).view(torch.float64)


def integer_weights(mass: Tensor, unit: Tensor) -> Tensor:
    """Returns masses ``[r]`` in units, rounded up, int64."""
    return (mass / unit).ceil_().long()


def unit_shift(n: int) -> int:
    """Returns the exponent of the unit minus that of the largest mass, for ``n`` rows.

    A mass is below ``2**exponent``, and ``n`` masses fit into ``BITS`` bits, with one bit for
    rounding up.
    """
    return n.bit_length() + 1 - BITS
