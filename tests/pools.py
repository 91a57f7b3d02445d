"""Small pools for tests of orderings."""

from typing import Any

import torch

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.ordering import STRATEGIES


def make_pool(
    n: int, *, classes: int = 4, width: int = 6, seed: int = 0, prefix: str = "s"
) -> GradientEmbedding:
    generator = torch.Generator().manual_seed(seed)
    return GradientEmbedding.from_logits(
        torch.randn(n, width, generator=generator).relu(),
        3 * torch.randn(n, classes, generator=generator),
        sample_ids=[f"{prefix}{row}" for row in range(n)],
    )


def context_of(name: str, *, classes: int = 4, width: int = 6) -> dict[str, Any]:
    """Returns what a strategy needs beside the pool's embedding."""
    given = {"labeled": make_pool(5, classes=classes, width=width, seed=9, prefix="l")}
    return {need: given[need] for need in STRATEGIES[name].needs}
