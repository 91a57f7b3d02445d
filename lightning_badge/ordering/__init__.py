"""Orderings of a pool: ``order()``, the strategies, and k-means++ for any dense embedding."""

import importlib
import pkgutil
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import resolve_backend
from lightning_badge.ordering.base import (
    STRATEGIES,
    Ordering,
    Picks,
    Registered,
    check_strategy,
    strategy_arguments,
)
from lightning_badge.sample_ids import fingerprint

__all__ = ["STRATEGIES", "Ordering", "check_strategy", "kmeans_pp", "order", "strategy_arguments"]

# Importing a sibling enters its strategies into the registry: a new one needs no edit here.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")


def order(
    embedding: GradientEmbedding,
    strategy: str = "badge",
    *,
    k: int | None = None,
    seed: int = 0,
    labeled: GradientEmbedding | None = None,
    posterior: torch.Tensor | None = None,
    backend: str = "auto",
    **strategy_args: Any,
) -> Ordering:
    """Orders a pool, best sample first.

    Args:
        embedding: The pool, ``n`` rows.
        strategy: A name in ``STRATEGIES``.
        k: Ranks asked for; None orders the whole pool, more than ``n`` too. The first ranks of a
            longer ordering are those of a shorter one.
        seed: Of every draw: same seed, same ordering.
        labeled: Embedding of the labeled set, for strategies that need it.
        posterior: Class probabilities under ``s`` posterior samples, ``[n, s, c]``, likewise.
        backend: Who computes distances: ``auto`` or ``torch``.
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
    registered = check_strategy(strategy, strategy_args)
    given = {"labeled": labeled, "posterior": posterior}
    context = _needed(strategy, registered, given)
    n = len(embedding)
    wanted = _ranks(k, n)
    backend = resolve_backend(backend)
    picks = Picks(np.zeros(0, np.int64), np.zeros(0))
    if wanted:
        picks = registered.rule(
            embedding, wanted, seed=seed, backend=backend, **context, **strategy_args
        )
    metadata = {
        "strategy": strategy,
        "strategy_args": strategy_args,
        "seed": seed,
        "backend": backend,
        **_describe(embedding),
    }
    return _ordering(embedding, picks, metadata)


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


def _needed(strategy: str, registered: Registered, given: dict[str, Any]) -> dict[str, Any]:
    for name in sorted(registered.needs):
        if given[name] is None:
            raise OrderingError(f"strategy {strategy!r} needs {name}=; pass it to order()")
    return {name: given[name] for name in registered.needs}


def _ranks(k: int | None, n: int) -> int:
    if k is None:
        return n
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise OrderingError(f"k: expected a positive integer, or None for all, got {k!r}")
    return min(k, n)


def _describe(embedding: GradientEmbedding) -> dict[str, Any]:
    return {
        "n_pool": len(embedding),
        "pool_fingerprint": fingerprint(embedding.sample_ids),
        "classes": embedding.logit_grad.shape[1],
        "width": embedding.penultimate.shape[1],
        "loss": embedding.loss,
        "bias": embedding.bias,
        "dtype": str(embedding.penultimate.dtype).removeprefix("torch."),
    }


def _ordering(embedding: GradientEmbedding, picks: Picks, metadata: dict[str, Any]) -> Ordering:
    chosen = torch.from_numpy(picks.positions).to(embedding.logit_grad.device)
    label, confidence = embedding.hallucinated_label, embedding.confidence
    return Ordering(
        sample_ids=embedding.sample_ids[picks.positions],
        gains=picks.gains,
        hallucinated_label=None if label is None else label[chosen].int().cpu().numpy(),
        confidence=None if confidence is None else confidence[chosen].float().cpu().numpy(),
        metadata=metadata,
    )
