"""Small pools for tests of orderings."""

from typing import Any

import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Loss
from lightning_badge.ordering import STRATEGIES


def make_pool(
    n: int,
    *,
    classes: int = 4,
    width: int = 6,
    seed: int = 0,
    prefix: str = "s",
    loss: Loss = "cross_entropy",
) -> GradientEmbedding:
    generator = torch.Generator().manual_seed(seed)
    return GradientEmbedding.from_logits(
        torch.randn(n, width, generator=generator).relu(),
        3 * torch.randn(n, classes, generator=generator),
        loss=loss,
        sample_ids=[f"{prefix}{row}" for row in range(n)],
    )


def context_of(name: str, pool: GradientEmbedding) -> dict[str, Any]:
    """Returns the arguments that a strategy requires in addition to the pool's embedding."""
    shape = {"classes": pool.logit_grad.shape[1], "width": pool.penultimate.shape[1]}
    arguments = {
        "labeled": lambda: make_pool(5, **shape, seed=9, prefix="l", loss=pool.loss),
        "posterior": lambda: posterior_of(pool),
    }
    return {need: arguments[need]() for need in STRATEGIES[name].needs}


def posterior_of(pool: GradientEmbedding, s: int = 3) -> torch.Tensor:
    """Returns class probabilities computed from the embeddings, so copies have equal ones."""
    a, h = pool.logit_grad, pool.penultimate
    tilt = torch.linspace(-1, 1, s)[None, :, None] * h.sum(dim=1)[:, None, None]
    return (5 * a[:, None, :] * (1 + tilt)).softmax(dim=2)
