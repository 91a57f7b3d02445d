"""Shadows of activations: a cheap bound of the cosine of two of them.

With the components ``e`` of ``h / |h|`` along a few orthonormal directions, and the length ``f`` of
the rest, ``<h,h'> / |h||h'| <= <e,e'> + f f'``. The directions are those in which a sample of the
pool is longest.

The bound holds in floating point: an error of ``eta`` in ``e``, which includes directions that are
not quite orthonormal, changes ``<e,e'>`` by at most ``2 eta + eta^2``, and ``f^2`` by as much. The
rows' shadows are kept as 16-bit integers, which costs another rounding of ``e``; ``f`` is rounded
up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors, row_blocks
from lightning_badge.kernels.numba_pruned.jit import jit_inner_sum

DIRECTIONS = 16
# Rows from which the directions are chosen.
SAMPLE = 128
# A row's shadow is kept in multiples of 1 / STEPS.
STEPS = 16_000
LARGEST = float(np.iinfo(np.int16).max)


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
    def slack(self) -> float:
        """Bound of the error of the product of a row's ``e`` and a center's."""
        rounding: float = 0.5 / STEPS * self.directions.shape[1] ** 0.5
        return self.roundoff + rounding * (1.0 + self.roundoff)

    @cached_property
    def of_rows(self) -> Any:
        """``e`` and ``f`` of all rows in units of ``1 / STEPS``, ``[n, q + 1]`` int16."""
        found = torch.empty(len(self.rows), self.directions.shape[1] + 1, dtype=torch.int16)
        for block in row_blocks(found):
            shadow = self._of(self.rows, block) * STEPS
            found[block, :-1] = shadow[:, :-1].round().short()
            found[block, -1] = shadow[:, -1].ceil().clamp(max=LARGEST).short()
        return found.numpy()

    def of(self, rows: Factors) -> Any:
        """Returns ``e`` and ``f`` of any rows ``[m]``, ``[m, q + 1]`` float32."""
        found = torch.empty(len(rows), self.directions.shape[1] + 1)
        for block in row_blocks(found):
            found[block] = self._of(rows, block).float()
        return found.numpy()

    def _of(self, rows: Factors, block: slice) -> Tensor:
        """Returns ``e`` and ``f``, ``[b, q + 1]`` float64; they bound nothing where unknown."""
        length = rows.sq_norm[block].sqrt() / rows.logit_grad_norm[block]
        along = (rows.penultimate[block].float() @ self.directions).double() / length[:, None]
        rest = (1.0 - along.square().sum(dim=1)).clamp(min=0.0) + self.roundoff
        shadow = torch.cat([along, (rest.sqrt() * (1.0 + 1e-6))[:, None]], dim=1)
        unknown = torch.zeros(shadow.shape[1], dtype=shadow.dtype)
        unknown[-1] = 1.0 + self.roundoff
        return shadow.where(shadow.isfinite().all(dim=1, keepdim=True), unknown)


@jit_inner_sum
def shadow_cosine(e: Any, i: Any, e_: Any, j: Any, signed: bool) -> Any:
    """Returns an upper bound of ``<h,h'> / |h||h'|``; of its absolute value if ``signed``.

    Args:
        e: Those of rows, as integers.
        i: The row.
        e_: Those of centers.
        j: The center.
        signed: Whether an inner product of two rows' activations may be negative.
    """
    last = e.shape[1] - 1
    total = np.float32(0.0)
    for k in range(last):
        total += np.float32(e[i, k]) * e_[j, k]
    if signed:
        total = abs(total)
    return (total + np.float32(e[i, last]) * e_[j, last]) * np.float32(1.0 / STEPS)
