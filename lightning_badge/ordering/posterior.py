"""Validation of class probabilities under posterior samples of the weights."""

from __future__ import annotations

from torch import Tensor

from lightning_badge.exceptions import OrderingError

# Tolerance for rows of float16 probabilities, whose sums are inexact.
SUM_TO_ONE = 1e-2


def check_posterior(posterior: Tensor, n: int, *, like: Tensor | None = None) -> Tensor:
    """Returns class probabilities ``[n, s, c]`` after validation.

    Args:
        posterior: The tensor to check.
        n: Expected number of rows.
        like: Other rows, which must have the same ``s`` and ``c``.

    Raises:
        OrderingError: Another shape, or values that are not probabilities.
    """
    wanted = f"[{n}, s, c]" if like is None else str([n, *like.shape[1:]])
    fits = isinstance(posterior, Tensor) and posterior.ndim == 3 and len(posterior) == n
    if fits and like is not None:
        fits = posterior.shape[1:] == like.shape[1:]
    if not fits or not posterior.is_floating_point() or 0 in posterior.shape[1:]:
        got = list(posterior.shape) if isinstance(posterior, Tensor) else type(posterior).__name__
        raise OrderingError(
            f"posterior: expected class probabilities {wanted}, one row for each row of the pool, "
            f"got {got}"
        )
    off = (posterior.double().sum(dim=2) - 1.0).abs()
    wrong = ~((posterior >= 0).all(dim=2) & (off < SUM_TO_ONE)).all(dim=1)
    if wrong.any():
        raise OrderingError(
            f"posterior: expected values of 0 or more that sum to 1 over the classes, which row "
            f"{int(wrong.nonzero()[0])} violates; apply softmax"
        )
    return posterior
