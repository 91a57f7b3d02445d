"""k-DPPs over gradient embeddings: random sets, as a reference for orderings.

A k-DPP (Kulesza & Taskar, k-DPPs: Fixed-Size Determinantal Point Processes, ICML 2011) draws ``k``
rows with probability proportional to the determinant of their Gram matrix. A draw is a set without
an order: ten rows drawn do not say which nine to label. A k-DPP is therefore not a strategy, only a
reference to compare strategies with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering import order
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids, positions_of

# Largest side of the matrix to decompose: half a minute on two cores; the time grows with its cube.
LARGEST = 4096
ROW_BLOCK = 1024

Floats = npt.NDArray[np.float64]


class KDPP:
    """The k-DPP of a pool; one eigendecomposition serves any number of draws of any size.

    It decomposes the Gram matrix of the rows, ``[n, n]``, or its dual, the ``[c * h, c * h]`` sum
    of their outer products (Kulesza & Taskar, Determinantal Point Processes for Machine Learning,
    2012, section 3.3), whichever is smaller. Neither needs all rows as dense vectors.

    Args:
        embedding: The pool, ``n`` rows.

    Raises:
        OrderingError: ``min(n, c * h)`` is above ``LARGEST``.

    Example:
        >>> pool = GradientEmbedding.from_dense(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
        >>> 2 in KDPP(pool).sample(2, seed=0).tolist()
        True
    """

    def __init__(self, embedding: GradientEmbedding) -> None:
        n, c, h = len(embedding), *(t.shape[1] for t in _factors(embedding))
        side = min(n, c * h)
        if side > LARGEST:
            raise OrderingError(
                f"k-DPP: expected at most {LARGEST} rows, or embeddings of at most {LARGEST} "
                f"values, got {n} rows of {c} x {h} values; use a subset of the pool"
            )
        self._embedding = embedding
        self._is_dual = c * h < n
        matrix = _dual(embedding) if self._is_dual else gram(embedding)
        eigenvalues, self._vectors = torch.linalg.eigh(matrix)
        # The rounding error of a zero eigenvalue is about the largest one times the side times eps.
        zero = eigenvalues[-1:].clamp(min=0).sum() * side * torch.finfo(torch.float64).eps
        self._positive = (eigenvalues > zero).nonzero().squeeze(1)
        self._eigenvalues: Floats = eigenvalues[self._positive].cpu().numpy()
        self._log_polynomials = lru_cache(maxsize=8)(self._new_log_polynomials)

    @property
    def rank(self) -> int:
        """The number of independent rows: larger sets have probability 0."""
        return len(self._eigenvalues)

    def sample(self, k: int, *, seed: int = 0) -> SampleIds:
        """Draws a set of ``k`` rows, returned as sample ids in the order of the pool.

        Args:
            k: Number of rows.
            seed: Seeds the draw.

        Raises:
            OrderingError: ``k`` is below 1 or above the rank.
        """
        if isinstance(k, bool) or not isinstance(k, int) or not 1 <= k <= self.rank:
            raise OrderingError(f"k: expected an integer from 1 to the rank {self.rank}, got {k!r}")
        draws = np.random.default_rng(seed)
        chosen = self._draw_eigenvectors(k, draws)
        rows = _draw_rows(self._eigenvectors(chosen), draws)
        return self._embedding.sample_ids[np.sort(rows)]

    def _draw_eigenvectors(self, k: int, draws: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draws the ``k`` eigenvectors that span the sample (2012, algorithm 8)."""
        log_e = self._log_polynomials(k)
        log_values = np.log(self._eigenvalues)
        chosen: list[int] = []
        for r in range(self.rank, 0, -1):
            missing = k - len(chosen)
            if not missing:
                break
            log_share = log_values[r - 1] + log_e[missing - 1, r - 1] - log_e[missing, r]
            if np.log(draws.random()) < log_share:
                chosen.append(r - 1)
        return np.array(chosen, dtype=np.int64)

    def _new_log_polynomials(self, k: int) -> Floats:
        """Returns logs of the elementary symmetric polynomials, ``[k + 1, rank + 1]``.

        Entry ``[l, r]`` is the sum of the products of all subsets of ``l`` of the first ``r``
        eigenvalues (2012, algorithm 7).
        """
        log_e = np.full((k + 1, self.rank + 1), -np.inf)
        log_e[0] = 0.0
        for r, log_value in enumerate(np.log(self._eigenvalues), start=1):
            log_e[1:, r] = np.logaddexp(log_e[1:, r - 1], log_value + log_e[:-1, r - 1])
        return log_e

    def _eigenvectors(self, chosen: npt.NDArray[np.int64]) -> Floats:
        """Returns the chosen eigenvectors of the Gram matrix, ``[n, k]``."""
        columns = self._positive[torch.from_numpy(chosen).to(self._positive.device)]
        vectors = self._vectors[:, columns]
        if not self._is_dual:
            primal: Floats = vectors.cpu().numpy()
            return primal
        a, h = _factors(self._embedding)
        matrices = vectors.T.reshape(len(chosen), a.shape[1], h.shape[1])
        blocks = [
            torch.einsum("nc,kch,nh->nk", a_part.double(), matrices, h_part.double())
            for a_part, h_part in _blocks(a, h)
        ]
        projected: Floats = torch.cat(blocks).cpu().numpy()
        return projected / np.sqrt(self._eigenvalues[chosen])


def _draw_rows(vectors: Floats, draws: np.random.Generator) -> npt.NDArray[np.int64]:
    """Draws ``k`` rows from the DPP defined by ``k`` orthonormal columns ``[n, k]``.

    A row's probability is proportional to the squared norm of its part that is orthogonal to the
    rows drawn before (2012, algorithm 1).
    """
    k = vectors.shape[1]
    basis: Floats = np.zeros((0, k))
    residual = np.square(vectors).sum(axis=1)
    rows: list[int] = []
    for _ in range(k):
        mass = residual.cumsum()
        row = int(np.searchsorted(mass, draws.random() * mass[-1], side="right"))
        rows.append(min(row, int(residual.nonzero()[0][-1])))
        direction = vectors[rows[-1]]
        # Two passes of Gram-Schmidt orthogonalize to machine precision (Giraud et al., 2005).
        for _ in range(2):
            direction = direction - basis.T @ (basis @ direction)
        direction = direction / np.linalg.norm(direction)
        basis = np.vstack([basis, direction])
        residual = np.maximum(residual - np.square(vectors @ direction), 0.0)
        residual[rows] = 0.0
    return np.array(rows, dtype=np.int64)


def gram(embedding: GradientEmbedding) -> Tensor:
    """Returns the inner products of all rows, ``[n, n]`` float64."""
    a, h = (factor.double() for factor in _factors(embedding))
    return (a @ a.T) * (h @ h.T)


def log_determinant(embedding: GradientEmbedding, sample_ids: Iterable[SampleId]) -> float:
    """Returns the log-determinant of the Gram matrix of some rows; ``-inf`` if it is singular.

    It is twice the log of the volume that the rows span, and grows with their norms and their
    diversity.

    Args:
        embedding: The pool.
        sample_ids: Sample ids of the rows.

    Raises:
        OrderingError: An id is not in the pool.
    """
    ids = as_sample_ids(sample_ids, error=OrderingError)
    positions = positions_of(ids, embedding.sample_ids, error=OrderingError)
    rows = torch.from_numpy(np.sort(positions))
    a, h = (factor[rows.to(factor.device)].double() for factor in _factors(embedding))
    norms = a.norm(dim=1) * h.norm(dim=1)
    if not (norms > 0).all():
        return -np.inf
    # The rank test uses cosines, because independence does not depend on the scale of the rows.
    cosines = (a @ a.T) * (h @ h.T) / (norms[:, None] * norms[None, :])
    eigenvalues = torch.linalg.eigvalsh(cosines)
    if len(rows) and eigenvalues[0] < len(rows) * torch.finfo(torch.float64).eps:
        return -np.inf
    return float(eigenvalues.log().sum() + 2.0 * norms.log().sum())


def compare_log_determinants(
    embedding: GradientEmbedding,
    strategies: Sequence[str],
    sizes: Sequence[int],
    seeds: Sequence[int],
    *,
    strategy_args: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Floats]:
    """Measures the log-determinants of k-DPP draws and of prefixes of orderings.

    Args:
        embedding: The pool.
        strategies: Names in ``STRATEGIES``.
        sizes: Numbers of picks.
        seeds: Seeds of the draws and orderings.
        strategy_args: Further arguments for a strategy, by its name.

    Returns:
        Log-determinants ``[seeds, sizes]`` by name, ``k-DPP`` first.
    """
    process = KDPP(embedding)
    picked = [[process.sample(k, seed=seed) for k in sizes] for seed in seeds]
    values = {"k-DPP": [[log_determinant(embedding, ids) for ids in row] for row in picked]}
    for name in strategies:
        more = (strategy_args or {}).get(name, {})
        orderings = [order(embedding, name, k=max(sizes), seed=seed, **more) for seed in seeds]
        values[name] = [
            [log_determinant(embedding, ordering.sample_ids[:k]) for k in sizes]
            for ordering in orderings
        ]
    return {name: np.array(table) for name, table in values.items()}


def _factors(embedding: GradientEmbedding) -> tuple[Tensor, Tensor]:
    return embedding.logit_grad, embedding.penultimate


def _blocks(a: Tensor, h: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(a, ROW_BLOCK), torch.split(h, ROW_BLOCK), strict=True)


def _dual(embedding: GradientEmbedding) -> Tensor:
    """Returns the sum of the rows' outer products, ``[c * h, c * h]`` float64."""
    a, h = _factors(embedding)
    side = a.shape[1] * h.shape[1]
    total = torch.zeros(side, side, dtype=torch.float64, device=a.device)
    for a_part, h_part in _blocks(a, h):
        rows = torch.einsum("nc,nh->nch", a_part.double(), h_part.double()).flatten(1)
        total.addmm_(rows.T, rows)
    return total
