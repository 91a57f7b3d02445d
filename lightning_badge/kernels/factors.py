"""The data that the kernels work on: gradient embeddings kept as two factors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

ROW_BLOCK = 8192


class Factors(NamedTuple):
    """Row i stands for ``outer(logit_grad[i], penultimate[i])``.

    Attributes:
        logit_grad: ``[n, c]``.
        penultimate: ``[n, h]``.
        sq_norm: ``[n]`` float64, the squared norm of the outer product.
    """

    logit_grad: Tensor
    penultimate: Tensor
    sq_norm: Tensor

    @classmethod
    def of(cls, logit_grad: Tensor, penultimate: Tensor) -> Factors:
        """Builds the factors and their squared norms."""
        return cls(logit_grad, penultimate, row_sq_norm(logit_grad) * row_sq_norm(penultimate))

    def take(self, positions: Tensor) -> Factors:
        """Returns the rows at ``positions`` ``[m]``."""
        return Factors(*(factor[positions] for factor in self))


def row_sq_norm(rows: Tensor) -> Tensor:
    """Returns the squared norms ``[n]`` of ``rows`` ``[n, d]``, summed in float64."""
    blocks = [block.double().square().sum(dim=1) for block in torch.split(rows, ROW_BLOCK)]
    return torch.cat(blocks) if blocks else rows.new_zeros(0, dtype=torch.float64)
