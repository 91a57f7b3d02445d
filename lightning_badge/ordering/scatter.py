"""`Scatter`: the sum of squared distances of a pool to its mean, the denominator of coverage."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.kernels import Factors
from lightning_badge.kernels.precision import full_float32
from lightning_badge.peers import Peers

ROW_BLOCK = 65536
# If the scatter is a smaller share of the sum of squared norms, float32 sums are too inexact.
FLOAT64_BELOW = 1e-3


@dataclass(frozen=True)
class Scatter:
    """Sums over a pool's embeddings, from which the scatter around their mean is computed.

    Attributes:
        n: Number of rows.
        sq_norm: Sum of the squared norms.
        embedding: Sum of the embeddings, ``[c, h]`` float64.
    """

    n: int
    sq_norm: float
    embedding: Tensor

    @classmethod
    def of(cls, rows: Factors) -> Scatter:
        """Computes the sums of a pool."""
        scatter = cls._sum(rows, torch.float32)
        if scatter.total < FLOAT64_BELOW * scatter.sq_norm:
            scatter = cls._sum(rows, torch.float64)
        return scatter

    @classmethod
    def _sum(cls, rows: Factors, dtype: torch.dtype) -> Scatter:
        shape = rows.logit_grad.shape[1], rows.penultimate.shape[1]
        total = rows.sq_norm.new_zeros(shape)
        with full_float32(rows.sq_norm.device.type):
            for start in range(0, len(rows), ROW_BLOCK):
                block = rows.take(slice(start, start + ROW_BLOCK))
                product = block.logit_grad.to(dtype).T @ block.penultimate.to(dtype)
                total += product.double()
        return cls(len(rows), float(rows.sq_norm.sum()), total.cpu())

    def over(self, peers: Peers) -> Scatter:
        """Returns the sums over the rows of all processes."""
        n, sq_norm = peers.sum(torch.tensor([self.n, self.sq_norm], dtype=torch.float64)).tolist()
        return Scatter(int(n), sq_norm, peers.sum(self.embedding))

    def __add__(self, other: Scatter) -> Scatter:
        return Scatter(
            self.n + other.n, self.sq_norm + other.sq_norm, self.embedding + other.embedding
        )

    def __sub__(self, other: Scatter) -> Scatter:
        return Scatter(
            self.n - other.n, self.sq_norm - other.sq_norm, self.embedding - other.embedding
        )

    @cached_property
    def total(self) -> float:
        """The sum of squared distances of all rows to the pool's mean embedding."""
        mean_part = float(self.embedding.square().sum()) / max(self.n, 1)
        return max(self.sq_norm - mean_part, 0.0)

    def coverage(self, unexplained: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns 1 - unexplained / scatter, clipped to [0, 1]; 1 if the scatter is 0."""
        total = self.total
        if total == 0.0:
            return np.ones_like(unexplained)
        return np.clip(1.0 - unexplained / total, 0.0, 1.0)

    def coverage_between(
        self, before: float | None, after: float, m: int
    ) -> npt.NDArray[np.float64]:
        """Returns coverage after each of ``m`` ranks: exact at the last rank, linear before it.

        Args:
            before: Sum of ``min_sq_dist`` before the first rank; None if there was no center.
            after: Sum of ``min_sq_dist`` after the last rank.
            m: Number of ranks.
        """
        start = after if before is None else before
        return self.coverage(start + (after - start) * np.arange(1, m + 1) / m)
