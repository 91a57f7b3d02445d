"""The numeric operations that everything else is made of, and the choice of who computes them.

- ``logit_grad_and_sq_norm``: from logits and activations to factored gradient embeddings.
- ``update_min_sq_dist``: from new centers to every row's distance to its nearest one.
- ``accept``: the walk through a block of candidates that makes blocked k-means++ exact.

``reference`` is the specification: by definition, dense, float64, slow. Every other back end is
tested against it.
"""

from importlib.util import find_spec
from typing import NamedTuple, get_args

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
    "Work",
    "accept",
    "logit_grad_and_sq_norm",
    "resolve_backend",
    "update_min_sq_dist",
]

BACKENDS = ("auto", "torch", "numba")
LOSSES: tuple[Loss, ...] = get_args(Loss)

# Smaller pools are ordered by torch in less time than numba takes to load.
NUMBA_FROM = 4096
# Rows that tell whether pruning pays, and up to which share of long products it does: a matrix
# product computes a pair that much faster than a pair by itself.
PROBE = 128
FEW_CENTERS = 8
PRUNE_BELOW = 0.1


class Work(NamedTuple):
    """What an update cost: rows times centers, and how many pairs were multiplied out."""

    pairs: int
    multiplied: int


def resolve_backend(backend: str, device: torch.device | str = "cpu", n: int = NUMBA_FROM) -> str:
    """Returns the back end that computes: ``torch`` or ``numba``.

    Args:
        backend: ``auto``, which takes numba where it is installed and pays, or a name.
        device: Where the pool is.
        n: Its rows.

    Raises:
        BadgeError: An unknown name, or numba where it cannot be.
    """
    if backend not in BACKENDS:
        raise BadgeError(f"backend: expected one of {', '.join(BACKENDS)}, got {backend!r}")
    on_cpu, installed = torch.device(device).type == "cpu", find_spec("numba") is not None
    if backend == "numba" and not on_cpu:
        raise BadgeError(f"backend 'numba' computes on the CPU, but the pool is on {device}")
    if backend == "numba" and not installed:
        raise BadgeError("backend 'numba' is not installed; pip install 'lightning-badge[numba]'")
    if backend == "auto":
        return "numba" if on_cpu and installed and n >= NUMBA_FROM else "torch"
    return backend


def logit_grad_and_sq_norm(
    penultimate: Tensor, logits: Tensor, *, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Returns the loss gradient at the hallucinated label, and the squared embedding norms.

    Args:
        penultimate: Activations that enter the head, ``[n, h]``.
        logits: What the head makes of them, ``[n, c]``; ``-inf`` marks a masked class.
        loss: Whose gradient.

    Returns:
        ``logit_grad`` ``[n, c]`` in the dtype of ``logits``, and
        ``|logit_grad|^2 |penultimate|^2`` ``[n]`` in float64.
    """
    factors = Factors.of(blocked.logit_grad(logits, loss), penultimate)
    return factors.logit_grad, factors.sq_norm


def update_min_sq_dist(
    min_sq_dist: Tensor,
    rows: Factors,
    positions: Tensor,
    centers: Factors,
    *,
    signed: bool = True,
    prune: bool = True,
    backend: str = "torch",
) -> Work:
    """Lowers ``min_sq_dist`` in place to the squared distance from each row to its nearest center.

    Args:
        min_sq_dist: ``[r]`` float64, what is known so far (``inf`` where nothing is).
        rows: All rows, ``[n]``.
        positions: Which of them ``min_sq_dist`` speaks of, ``[r]`` int64.
        centers: ``m`` of them, in any order; a row that equals one of them gets exactly 0.
        signed: False where no product of two rows' activations is negative, which prunes better.
        prune: Whether to look for pairs that cannot matter; without, every pair is multiplied.
        backend: A name that ``resolve_backend`` returned.
    """
    if not len(positions) or not len(centers):
        return Work(0, 0)
    by_norm = centers.take(torch.argsort(centers.sq_norm, stable=True))
    pairs = len(positions) * len(centers)
    if backend == "numba" and prune:
        from lightning_badge.kernels import compiled

        if _pruning_pays(min_sq_dist, rows, positions, by_norm, signed):
            multiplied = compiled.update_min_sq_dist(
                min_sq_dist, rows, positions, by_norm, signed=signed
            )
            return Work(pairs, multiplied)
    multiplied = blocked.update_min_sq_dist(min_sq_dist, rows, positions, by_norm, prune=prune)
    return Work(pairs, multiplied)


def _pruning_pays(
    min_sq_dist: Tensor, rows: Factors, positions: Tensor, centers: Factors, signed: bool
) -> bool:
    """Says from a few of the rows whether most of their pairs can be left out."""
    if len(centers) < FEW_CENTERS:
        return True
    from lightning_badge.kernels import compiled

    every = max(1, len(positions) // PROBE)
    known, probe = min_sq_dist[::every].clone(), positions[::every].contiguous()
    multiplied = compiled.update_min_sq_dist(known, rows, probe, centers, signed=signed)
    return multiplied <= PRUNE_BELOW * len(probe) * len(centers)


def accept(
    stale: Tensor,
    uniforms: Tensor,
    candidates: Factors,
    *,
    signed: bool = True,
    backend: str = "torch",
) -> tuple[Tensor, Tensor]:
    """Walks a block of candidates in order and accepts each with probability now / stale.

    A candidate drawn with probability proportional to ``stale`` and accepted with probability
    ``now / stale`` is distributed as sequential k-means++ would have drawn it.

    Args:
        stale: Squared distance to the nearest center before the block, ``[b]`` float64.
        uniforms: ``[b]`` float64 in [0, 1).
        candidates: ``b`` of them.
        signed: As in ``update_min_sq_dist``.
        backend: Likewise.

    Returns:
        Which candidates were accepted ``[m]`` int64, and their squared distances to the nearest
        center at that moment ``[m]`` float64.
    """
    if backend == "numba":
        from lightning_badge.kernels import compiled

        return compiled.accept(stale, uniforms, candidates, signed=signed)
    return blocked.accept(stale, uniforms, candidates)
