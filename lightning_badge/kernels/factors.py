"""The data that the kernels work on: gradient embeddings kept as two factors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

ROW_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Factors:
    """Row i stands for ``outer(logit_grad[i], penultimate[i])``.

    Attributes:
        logit_grad: ``[n, c]``.
        penultimate: ``[n, h]``.
        sq_norm: ``[n]`` float64, the squared norm of the outer product.
        logit_grad_norm: ``[n]`` float64.
    """

    logit_grad: Tensor
    penultimate: Tensor
    sq_norm: Tensor
    logit_grad_norm: Tensor

    @classmethod
    def of(cls, logit_grad: Tensor, penultimate: Tensor, sq_norm: Tensor | None = None) -> Factors:
        """Builds the factors and whatever norms of them are not known yet."""
        a_sq_norm = row_sq_norm(logit_grad)
        if sq_norm is None:
            sq_norm = a_sq_norm * row_sq_norm(penultimate)
        return cls(logit_grad, penultimate, sq_norm, a_sq_norm.sqrt())

    def __len__(self) -> int:
        return len(self.sq_norm)

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The four tensors in the order of the fields."""
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
    def label(self) -> Tensor:
        """The class of each row's least logit gradient, its hallucinated label, ``[n]``."""
        label = self.sq_norm.new_empty(len(self), dtype=torch.int64)
        for rows in row_blocks(len(self)):
            label[rows] = self.logit_grad[rows].argmin(dim=1)
        return label

    def take(self, rows: Tensor | slice) -> Factors:
        """Returns the rows at positions ``[m]``, or a slice of them."""
        return Factors(*(tensor[rows] for tensor in self.tensors))

    def first(self, number: Tensor | None) -> Factors:
        """Returns the first ``number`` ``[]`` of the rows, all of them where it is None."""
        return self if number is None else self.take(slice(int(number)))

    def contiguous(self) -> Factors:
        """Returns the same rows in contiguous memory."""
        return Factors(*(tensor.contiguous() for tensor in self.tensors))

    def scaled(self, a: Tensor, h: Tensor) -> Factors:
        """Returns the rows with the two factors multiplied by ``a`` and ``h``, both ``[]``."""
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


def row_blocks(n: int) -> Iterator[slice]:
    """Yields slices of at most ``ROW_BLOCK`` rows.

    Results go into one tensor that exists before the first block. Small results that are kept
    between large temporaries fragment the heap: up to twice the size of all rows.
    """
    for start in range(0, n, ROW_BLOCK):
        yield slice(start, min(start + ROW_BLOCK, n))


def row_sq_norm(rows: Tensor) -> Tensor:
    """Returns the squared norms ``[n]`` of ``rows`` ``[n, d]``, summed in float64."""
    sq_norm = rows.new_empty(len(rows), dtype=torch.float64)
    for block in row_blocks(len(rows)):
        sq_norm[block] = rows[block].double().square().sum(dim=1)
    return sq_norm
