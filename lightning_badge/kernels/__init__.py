"""The numeric operations that everything else is made of.

- ``logit_grad_and_sq_norm``: from logits and activations to factored gradient embeddings.
- ``update_min_sq_dist``: from new centers to every row's distance to its nearest one.
- ``accept``: the walk through a block of candidates that makes blocked k-means++ exact.
- ``pick_farthest``: the greedy picks of k-center among candidates, for GPUs.

``backends`` says who computes them.

``reference`` is the specification: by definition, dense, float64, slow. Every other back end is
tested against it.
"""

from typing import NamedTuple, get_args

import torch
from torch import Tensor

from lightning_badge.kernels import torch_blocked
from lightning_badge.kernels.backends import BACKENDS, check_backend, resolve_backend
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.torch_blocked import Loss

__all__ = [
    "BACKENDS",
    "LOSSES",
    "Accepted",
    "Factors",
    "Loss",
    "Work",
    "accept",
    "check_backend",
    "logit_grad_and_sq_norm",
    "pick_farthest",
    "resolve_backend",
    "update_min_sq_dist",
]

LOSSES: tuple[Loss, ...] = get_args(Loss)

# Rows that tell whether pruning pays, and up to which share of long products it does: a matrix
# product computes a pair that much faster than a pair by itself.
PROBE = 128
FEW_CENTERS = 8
PRUNE_BELOW = 0.1


class Work(NamedTuple):
    """What an update cost: rows times centers, and how many pairs were multiplied out.

    A count that only the device knows is a tensor ``[]``.
    """

    pairs: int
    multiplied: int | Tensor


class Accepted(NamedTuple):
    """What a walk through a block of candidates accepts.

    Attributes:
        candidates: Which of them, in order, ``[m]`` int64.
        gains: Their squared distances to the nearest center at that moment, ``[m]`` float64.
        number: How many of the entries count, ``[]`` int64, where only the device knows; those
            beyond repeat the first. None: all of them.
    """

    candidates: Tensor
    gains: Tensor
    number: Tensor | None = None


def logit_grad_and_sq_norm(
    penultimate: Tensor, logits: Tensor, *, loss: Loss, backend: str = "torch"
) -> tuple[Tensor, Tensor]:
    """Returns the loss gradient at the hallucinated label, and the squared embedding norms.

    Args:
        penultimate: Activations that enter the head, ``[n, h]``.
        logits: What the head makes of them, ``[n, c]``; ``-inf`` marks a masked class.
        loss: Whose gradient.
        backend: A name that ``resolve_backend`` returned; numba has no kernel of its own for it.

    Returns:
        ``logit_grad`` ``[n, c]``, float64 where ``logits`` are and else float32, and
        ``|logit_grad|^2 |penultimate|^2`` ``[n]`` in float64.
    """
    if backend == "triton":
        from lightning_badge.kernels.triton_tiled import embed

        return embed.logit_grad_and_sq_norm(penultimate, logits, loss=loss)
    if logits.dtype != torch.float64:
        logits = logits.float()
    factors = Factors.of(torch_blocked.logit_grad(logits, loss), penultimate)
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
    number: Tensor | None = None,
    starts: Tensor | None = None,
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
        number: How many of the centers count, the first ones, ``[]`` int64; None: all of them.
        starts: From which center on each row needs to look, ``[r]`` int64; Triton makes use of it,
            the others look at all. None: from the first.
    """
    if not len(positions) or not len(centers):
        return Work(0, 0)
    pairs = len(positions) * len(centers)
    if backend == "triton":
        from lightning_badge.kernels.triton_tiled import update

        if prune:
            centers = centers.take(update.by_label_and_norm(centers, number))
        multiplied = update.update_min_sq_dist(
            min_sq_dist,
            rows,
            positions,
            centers,
            signed=signed,
            prune=prune,
            number=number,
            starts=starts,
        )
        return Work(pairs, multiplied)
    by_norm = centers.take(torch.argsort(centers.sq_norm, stable=True))
    if backend == "numba" and prune:
        from lightning_badge.kernels import numba_pruned

        if _pruning_pays(min_sq_dist, rows, positions, by_norm, signed):
            n_multiplied = numba_pruned.update_min_sq_dist(
                min_sq_dist, rows, positions, by_norm, signed=signed
            )
            return Work(pairs, n_multiplied)
    n_multiplied = torch_blocked.update_min_sq_dist(
        min_sq_dist, rows, positions, by_norm, prune=prune
    )
    return Work(pairs, n_multiplied)


def _pruning_pays(
    min_sq_dist: Tensor, rows: Factors, positions: Tensor, centers: Factors, signed: bool
) -> bool:
    """Says from a few of the rows whether most of their pairs can be left out."""
    if len(centers) < FEW_CENTERS:
        return True
    from lightning_badge.kernels import numba_pruned

    every = max(1, len(positions) // PROBE)
    known, probe = min_sq_dist[::every].clone(), positions[::every].contiguous()
    multiplied = numba_pruned.update_min_sq_dist(known, rows, probe, centers, signed=signed)
    return multiplied <= PRUNE_BELOW * len(probe) * len(centers)


def accept(
    stale: Tensor,
    uniforms: Tensor,
    candidates: Factors,
    *,
    signed: bool = True,
    backend: str = "torch",
) -> Accepted:
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
        Which candidates were accepted, and their gains.
    """
    if backend == "numba":
        from lightning_badge.kernels import numba_pruned

        return Accepted(*numba_pruned.accept(stale, uniforms, candidates, signed=signed))
    if backend == "triton":
        from lightning_badge.kernels.triton_tiled import accept as on_device

        return Accepted(*on_device.accept(stale, uniforms, candidates))
    return Accepted(*torch_blocked.accept(stale, uniforms, candidates))


def pick_farthest(now: Tensor, cutoff: Tensor, candidates: Factors) -> Accepted:
    """Picks the farthest candidate, lets the others meet it, and so on while it is beyond a cutoff.

    Nothing leaves the device; only Triton knows how.

    Args:
        now: Squared distance to the nearest center, ``[b]`` float64; lowered in place, 0 where
            picked.
        cutoff: ``[]`` float64, 0 or more.
        candidates: ``b`` of them, float32; of those equally far the first is picked.

    Returns:
        Which were picked, and their gains.
    """
    from lightning_badge.kernels.triton_tiled import accept as on_device

    return Accepted(*on_device.pick_farthest(now, cutoff, candidates))
