"""The two numeric operations that everything else is made of, and the choice of who computes them.

``reference`` is the specification: by definition, dense, float64, slow. Every other back end is
tested against it.
"""

from typing import get_args

import torch
from torch import Tensor

from lightning_badge.exceptions import BadgeError
from lightning_badge.kernels import blocked
from lightning_badge.kernels.blocked import Loss
from lightning_badge.kernels.factors import Factors

__all__ = [
    "BACKENDS",
    "LOSSES",
    "Factors",
    "Loss",
    "logit_grad_and_sq_norm",
    "resolve_backend",
    "update_min_sq_dist",
]

BACKENDS = ("auto", "torch")
LOSSES: tuple[Loss, ...] = get_args(Loss)


def resolve_backend(backend: str) -> str:
    """Returns the back end that ``backend`` stands for.

    Raises:
        BadgeError: An unknown name.
    """
    if backend not in BACKENDS:
        raise BadgeError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    return "torch"


def logit_grad_and_sq_norm(
    penultimate: Tensor, logits: Tensor, *, loss: Loss, backend: str = "auto"
) -> tuple[Tensor, Tensor]:
    """Returns the loss gradient at the hallucinated label, and the squared embedding norms.

    Args:
        penultimate: Activations that enter the head, ``[n, h]``.
        logits: What the head makes of them, ``[n, c]``; ``-inf`` marks a masked class.
        loss: Whose gradient.
        backend: Who computes.

    Returns:
        ``logit_grad`` ``[n, c]`` in the dtype of ``logits``, and
        ``|logit_grad|^2 |penultimate|^2`` ``[n]`` in float64.
    """
    resolve_backend(backend)
    factors = Factors.of(blocked.logit_grad(logits, loss), penultimate)
    return factors.logit_grad, factors.sq_norm


def update_min_sq_dist(
    min_sq_dist: Tensor, rows: Factors, centers: Factors, *, backend: str = "auto"
) -> None:
    """Lowers ``min_sq_dist`` in place to the squared distance from each row to its nearest center.

    Args:
        min_sq_dist: ``[n]`` float64, what is known so far (``inf`` where nothing is).
        rows: ``n`` of them.
        centers: ``m`` of them; a row that equals one of them gets exactly 0.
        backend: Who computes.
    """
    resolve_backend(backend)
    nearest = blocked.pairwise_sq_dist(rows, centers).amin(dim=1)
    torch.minimum(min_sq_dist, nearest, out=min_sq_dist)
