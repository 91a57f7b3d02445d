"""Orderings of a whole pool in one call: ``order``, and ``kmeans_pp`` for dense rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering.lazy import LazyOrdering
from lightning_badge.ordering.ordering import Ordering


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
    """Orders a pool, best sample first.

    The same as one ``take`` of a ``LazyOrdering``.

    Args:
        embedding: The pool, ``n`` rows.
        strategy: A name in ``STRATEGIES``.
        k: Number of ranks. None, or more than ``n``, orders the whole pool. A shorter ordering is a
            prefix of a longer one.
        seed: Seed of all random draws; the same seed gives the same ordering.
        labeled: Embedding of the labeled set, for strategies that use it.
        posterior: Class probabilities under ``s`` posterior samples, ``[n, s, c]``, for strategies
            that use them.
        backend: The back end that computes distances: ``auto``, ``torch``, ``numba`` or ``triton``.
        progress: Called with the number of ranks chosen, once per block of the engine.
        **strategy_args: Arguments of the strategy, such as ``first_center`` of ``badge``.

    Returns:
        ``min(k, n)`` distinct sample ids with gains, and the arguments as metadata.

    Raises:
        OrderingError: An unknown strategy or argument, a missing ``labeled`` or ``posterior``, or
            ``k`` below 1.

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
    """Returns the row numbers of a dense embedding in k-means++ order.

    Args:
        x: ``[n, d]``, a tensor or anything that ``torch.as_tensor`` accepts.
        k: Number of rows to return; None returns all of them.
        seed: Seed of all random draws.

    Raises:
        BadgeError: A shape other than ``[n, d]``, NaN or infinite values, or ``k`` below 1.

    Example:
        >>> kmeans_pp([[0.0], [0.0], [5.0]], k=2).shape
        (2,)
    """
    ordering = order(GradientEmbedding.from_dense(torch.as_tensor(x)), k=k, seed=seed)
    return ordering.sample_ids.astype(np.int64)
