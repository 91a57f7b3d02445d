"""`Factors`: gradient embeddings stored as two factors, the input of the kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

# Rows handled at once; the key is whether the device is the CPU. A GPU needs fewer, larger calls.
ROW_BLOCK = {True: 2048, False: 65_536}


@dataclass(frozen=True, eq=False)
class Factors:
    """Row i represents ``outer(logit_grad[i], penultimate[i])``.

    Attributes:
        logit_grad: ``[n, c]``.
        penultimate: ``[n, h]``.
        sq_norm: ``[n]`` float64, the squared norm of the outer product.
        logit_grad_norm: ``[n]`` float64, not squared.
    """

    logit_grad: Tensor
    penultimate: Tensor
    sq_norm: Tensor
    logit_grad_norm: Tensor

    @classmethod
    def of(cls, logit_grad: Tensor, penultimate: Tensor, sq_norm: Tensor | None = None) -> Factors:
        """Builds the factors and computes their norms; ``sq_norm`` ``[n]`` is reused if given."""
        a_sq_norm = row_sq_norm(logit_grad)
        if sq_norm is None:
            sq_norm = a_sq_norm * row_sq_norm(penultimate)
        return cls(logit_grad, penultimate, sq_norm, a_sq_norm.sqrt())

    def __len__(self) -> int:
        return len(self.sq_norm)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors in field order."""
        return self.logit_grad, self.penultimate, self.sq_norm, self.logit_grad_norm

    @cached_property
    def largest(self) -> Tensor:
        """The largest norm of a logit gradient and the largest activation, ``[2]`` float64."""
        if not len(self):
            return self.sq_norm.new_zeros(2)
        lowest, highest = self.penultimate.aminmax()
        activation = torch.maximum(-lowest, highest).double()
        return torch.stack([self.logit_grad_norm.amax(), activation])

    @cached_property
    def scale(self) -> Tensor:
        """Powers of two that scale the largest norm and activation near 1, ``[2]`` float64."""
        return powers_of_two(self.largest)

    @cached_property
    def label(self) -> Tensor:
        """The hallucinated label ``[n]``: the class with the smallest logit gradient."""
        label = self.sq_norm.new_empty(len(self), dtype=torch.int64)
        for rows in row_blocks(self.logit_grad):
            label[rows] = self.logit_grad[rows].argmin(dim=1)
        return label

    def take(self, rows: Tensor | slice) -> Factors:
        """Returns the rows at positions ``[m]`` or in a slice."""
        return Factors(*(tensor[rows] for tensor in self.tensors))

    def first(self, number: Tensor | None) -> Factors:
        """Returns the first ``number`` ``[]`` rows; all rows if it is None."""
        return self if number is None else self.take(slice(int(number)))

    def contiguous(self) -> Factors:
        """Returns the same rows in contiguous memory."""
        return Factors(*(tensor.contiguous() for tensor in self.tensors))

    def scaled(self, a: Tensor, h: Tensor) -> Factors:
        """Returns the rows with their factors multiplied by the scalars ``a`` and ``h``, ``[]``."""
        return Factors(
            self.logit_grad * a,
            self.penultimate * h,
            self.sq_norm * (a * h) ** 2,
            self.logit_grad_norm * a,
        )

    def double(self) -> Factors:
        """Returns the same rows in float64."""
        return Factors(*(tensor.double() for tensor in self.tensors))

    def concatenate(self, other: Factors) -> Factors:
        """Returns these rows followed by those of ``other``."""
        pairs = zip(self.tensors, other.tensors, strict=True)
        return Factors(*(torch.cat(pair) for pair in pairs))


def powers_of_two(largest: Tensor) -> Tensor:
    """Returns powers of two that scale positive numbers near 1, float64, without a host sync."""
    exponent = ((largest.view(torch.int64) >> 52) - 1022).clamp(-126, 126)
    return ((1023 - exponent) << 52).view(torch.float64)


def row_blocks(rows: Tensor) -> Iterator[slice]:
    """Yields slices of at most `ROW_BLOCK` rows each that together cover ``rows`` ``[n, d]``.

    Results go into one tensor that exists before the first block. Small results that are kept
    between large temporaries fragment the heap: up to twice the size of all rows.
    """
    n, size = len(rows), ROW_BLOCK[rows.device.type == "cpu"]
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


def row_sq_norm(rows: Tensor) -> Tensor:
    """Returns the squared norms ``[n]`` of ``rows`` ``[n, d]``, summed in float64."""
    sq_norm = rows.new_empty(len(rows), dtype=torch.float64)
    for block in row_blocks(rows):
        sq_norm[block] = rows[block].double().square().sum(dim=1)
    return sq_norm
