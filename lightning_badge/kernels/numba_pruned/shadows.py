"""Shadows of activations: a cheap bound of the cosine of two of them.

With the components ``e`` of ``h / |h|`` along a few orthonormal directions, and the length ``f`` of
the rest, ``<h,h'> / |h||h'| <= <e,e'> + f f'``. The directions are those in which a sample of the
pool is longest.

The bound holds in floating point: an error of ``eta`` in ``e``, which includes directions that are
not quite orthonormal, changes ``<e,e'>`` by at most ``2 eta + eta^2``, and ``f^2`` by as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors, row_blocks
from lightning_badge.kernels.numba_pruned.jit import jit_sum

DIRECTIONS = 16
# Rows from which the directions are chosen.
SAMPLE = 128


@dataclass(frozen=True, eq=False)
class Shadows:
    """The shadows of a pool, along directions that its rows determine; computed when first used.

    Attributes:
        rows: All rows of the pool, ``[n]``.
    """

    rows: Factors

    @cached_property
    def directions(self) -> Tensor:
        """Orthonormal columns ``[h, q]`` float32, from the Gram matrix of evenly spaced rows."""
        n, width = self.rows.penultimate.shape
        sample = self.rows.penultimate[:: max(1, n // SAMPLE)][:SAMPLE].double()
        length = sample.norm(dim=1, keepdim=True)
        sample = sample / length.where(length > 0, 1.0)
        number = min(DIRECTIONS, width // 16, len(sample))
        found = (
            sample.T @ torch.linalg.eigh(sample @ sample.T).eigenvectors[:, len(sample) - number :]
        )
        vectors: Tensor = torch.linalg.qr(found).Q
        return vectors.float()

    @cached_property
    def roundoff(self) -> float:
        """Bound of the error of ``<e,e'>`` and of the squared length of the rest."""
        width, number = self.directions.shape
        error: float = number**0.5 * (width + 16) * float(np.finfo(np.float32).eps)
        return 2.0 * error + error * error

    @cached_property
    def of_rows(self) -> Any:
        """``e`` and ``f`` of all rows, ``[n, q + 1]`` float32."""
        return self.of(self.rows)

    def of(self, rows: Factors) -> Any:
        """Returns ``e`` and ``f`` of any rows ``[m]``, ``[m, q + 1]`` float32."""
        found = torch.empty(len(rows), self.directions.shape[1] + 1)
        unknown = torch.zeros(found.shape[1])
        unknown[-1] = 1.0 + self.roundoff
        for block in row_blocks(found):
            length = rows.sq_norm[block].sqrt() / rows.logit_grad_norm[block]
            along = (rows.penultimate[block].float() @ self.directions).double() / length[:, None]
            rest = (1.0 - along.square().sum(dim=1)).clamp(min=0.0) + self.roundoff
            shadow = torch.cat([along, (rest.sqrt() * (1.0 + 1e-6))[:, None]], dim=1).float()
            is_known = shadow.isfinite().all(dim=1, keepdim=True)
            found[block] = shadow.where(is_known, unknown)
        return found.numpy()


@jit_sum
def shadow_cosine(e: Any, i: Any, e_: Any, j: Any, signed: bool) -> Any:
    """Returns an upper bound of ``<h,h'> / |h||h'|``; of its absolute value if ``signed``."""
    last = e.shape[1] - 1
    total = np.float32(0.0)
    for k in range(last):
        total += e[i, k] * e_[j, k]
    if signed:
        total = abs(total)
    return total + e[i, last] * e_[j, last]
