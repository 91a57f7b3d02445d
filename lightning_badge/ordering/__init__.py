"""Orderings of a pool: ``order()``, ``LazyOrdering``, the strategies, and plain ``kmeans_pp``."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import lightning_badge.ordering.strategies  # noqa: F401 - fills the registry
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering.coverage import measure_coverage
from lightning_badge.ordering.lazy import LazyOrdering
from lightning_badge.ordering.ordering import Ordering
from lightning_badge.ordering.registry import (
    STRATEGIES,
    check_strategy,
    strategy,
)
from lightning_badge.ordering.selector import Block, OneShotSelector, Picks, Selector

__all__ = [
    "STRATEGIES",
    "Block",
    "LazyOrdering",
    "OneShotSelector",
    "Ordering",
    "Picks",
    "Selector",
    "check_strategy",
    "kmeans_pp",
    "measure_coverage",
    "order",
    "strategy",
]


def order(
    embedding: GradientEmbedding,
    strategy: str = "badge",
    *,
    k: int | None = None,
    seed: int = 0,
    labeled: GradientEmbedding | None = None,
    posterior: torch.Tensor | None = None,
    backend: str = "auto",
    progress: Callable[[int], None] | None = None,
    **strategy_args: Any,
) -> Ordering:
    """Orders a pool, best sample first: one ``take`` of a ``LazyOrdering``.

    Args:
        embedding: The pool, ``n`` rows.
        strategy: A name in ``STRATEGIES``.
        k: Ranks asked for; None orders the whole pool, more than ``n`` too. The first ranks of a
            longer ordering are those of a shorter one.
        seed: Of every draw: same seed, same ordering.
        labeled: Embedding of the labeled set, for strategies that need it.
        posterior: Class probabilities under ``s`` posterior samples, ``[n, s, c]``, likewise.
        backend: Who computes distances: ``auto``, ``torch``, ``numba`` or ``triton``.
        progress: Called with the number of ranks chosen, once per block of the engine.
        **strategy_args: The strategy's own, such as ``first_center`` of ``badge``.

    Returns:
        ``min(k, n)`` distinct sample ids with gains, and how they came about as metadata.

    Raises:
        OrderingError: An unknown strategy or argument, an unmet need, ``k`` below 1.

    Example:
        >>> embedding = GradientEmbedding.from_logits(torch.ones(3, 2), torch.eye(3))
        >>> sorted(order(embedding, seed=1))
        [0, 1, 2]
    """
    lazy = LazyOrdering(
        embedding,
        strategy,
        seed=seed,
        labeled=labeled,
        posterior=posterior,
        backend=backend,
        **strategy_args,
    )
    return lazy.take(k, progress=progress)


def kmeans_pp(x: Any, k: int | None = None, seed: int = 0) -> npt.NDArray[np.int64]:
    """Returns row numbers of any dense embedding in k-means++ order.

    Args:
        x: ``[n, d]``, a tensor or what ``torch.as_tensor`` takes.
        k: Rows asked for; None orders all of them.
        seed: Of every draw.

    Raises:
        BadgeError: Not ``[n, d]``, NaN or infinite values, ``k`` below 1.

    Example:
        >>> kmeans_pp([[0.0], [0.0], [5.0]], k=2).shape
        (2,)
    """
    ordering = order(GradientEmbedding.from_dense(torch.as_tensor(x)), k=k, seed=seed)
    return ordering.sample_ids.astype(np.int64)
