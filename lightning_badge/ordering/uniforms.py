"""Uniform numbers of a seeded generator, copied to the device many at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.ordering.transfer import to_device

# Numbers that one copy brings to the device: those of 16 blocks of 2,048 candidates.
AT_ONCE = 2**16


class Uniforms:
    """Gives out the uniform numbers of a generator in the order in which it draws them.

    A copy to a GPU costs as much as a small kernel, so there numbers are drawn ahead.

    Args:
        seed: Seed of the generator.
        device: Where the numbers go.
        at_once: Least number to draw at once; None chooses by the device.
    """

    def __init__(self, seed: int, device: torch.device, *, at_once: int | None = None) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))
        self._device = device
        self._at_once = (AT_ONCE if device.type == "cuda" else 0) if at_once is None else at_once
        self._ahead = torch.empty(0, dtype=torch.float64)
        self._before: dict[str, Any] | None = None  # the state before the numbers ahead
        self._given = 0

    @property
    def generator(self) -> np.random.Generator:
        """The generator, for other draws; numbers that were drawn ahead are put back."""
        if self._before is not None and self._given < len(self._ahead):
            self._bits.state = self._before
            self._bits.advance(self._given)  # a number takes one step of PCG64
            # It uses no half word of an earlier draw, which `advance` drops.
            half_word = {key: self._before[key] for key in ("has_uint32", "uinteger")}
            self._bits.state = self._bits.state | half_word
        self._before = None
        return self._generator

    def take(self, *shape: int) -> Tensor:
        """Returns the next uniform numbers in [0, 1), float64, as a view."""
        n = int(np.prod(shape))
        if self._before is None or self._given + n > len(self._ahead):
            generator = self.generator
            self._before, self._given = self._bits.state, 0
            self._ahead = to_device(generator.random(max(n, self._at_once)), self._device)
        strides = np.cumprod([1, *shape[:0:-1]])[::-1].tolist()
        numbers = self._ahead.as_strided(shape, strides, self._given)
        self._given += n
        return numbers

    @property
    def state(self) -> Any:
        """The state of the generator, as if nothing had been drawn ahead."""
        return self.generator.bit_generator.state

    @state.setter
    def state(self, state: Any) -> None:
        self._before = None
        self._bits.state = state

    @property
    def _bits(self) -> Any:
        return self._generator.bit_generator
