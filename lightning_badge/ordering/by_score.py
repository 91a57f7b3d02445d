"""Strategies that rank each sample by itself: uncertainty sampling, and chance.

Probabilities come back out of logit_grad, where the entries that matter are kept to full relative
precision: under cross entropy the others' entries are their probabilities and the hallucinated
label's is minus their sum; under binary cross entropy each is, up to sign, the smaller probability.
"""

import numpy as np
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.ordering.base import Picks, strategy


@strategy("entropy")
def entropy(embedding: GradientEmbedding, k: int, *, seed: int, backend: str) -> Picks:
    """Highest predictive entropy first, in nats; multi-label: summed over the labels."""
    del seed, backend
    others = _other_probabilities(embedding)
    if embedding.loss == "binary_cross_entropy":
        return _highest_first(_plogp(others).sum(dim=1) + _plogp_of_rest(others).sum(dim=1), k)
    return _highest_first(_plogp(others).sum(dim=1) + _plogp_of_rest(others.sum(dim=1)), k)


@strategy("least_confidence")
def least_confidence(embedding: GradientEmbedding, k: int, *, seed: int, backend: str) -> Picks:
    """Lowest probability of the hallucinated label first; multi-label: of the least certain."""
    del seed, backend
    return _highest_first(_error_probability(embedding), k)


@strategy("margin")
def margin(embedding: GradientEmbedding, k: int, *, seed: int, backend: str) -> Picks:
    """Smallest gap between the two likeliest classes first; the gain is 1 - gap."""
    del seed, backend
    others = _other_probabilities(embedding)
    runner_up = others.amax(dim=1)
    return _highest_first(_error_probability(embedding) + runner_up, k)


@strategy("random")
def random(embedding: GradientEmbedding, k: int, *, seed: int, backend: str) -> Picks:
    """A seeded shuffle: what every other strategy has to beat."""
    del backend
    positions = np.random.default_rng(seed).permutation(len(embedding))[:k]
    return Picks(positions, np.full(k, np.nan))


def _other_probabilities(embedding: GradientEmbedding) -> Tensor:
    """Returns the probabilities that speak against the hallucinated label, ``[n, c]`` float64."""
    if embedding.loss is None:
        raise OrderingError(
            "this strategy needs class probabilities, but the embedding is dense; "
            "build it with GradientEmbedding.from_logits"
        )
    grad = embedding.logit_grad.double()
    return grad.abs() if embedding.loss == "binary_cross_entropy" else grad.clamp(min=0.0)


def _error_probability(embedding: GradientEmbedding) -> Tensor:
    others = _other_probabilities(embedding)
    if embedding.loss == "binary_cross_entropy":
        return others.amax(dim=1)
    return others.sum(dim=1)


def _plogp(probability: Tensor) -> Tensor:
    return -torch.xlogy(probability, probability)


def _plogp_of_rest(probability: Tensor) -> Tensor:
    rest: Tensor = torch.special.xlog1py(1.0 - probability, -probability)
    return -rest


def _highest_first(score: Tensor, k: int) -> Picks:
    order = torch.sort(score, descending=True, stable=True)
    return Picks(order.indices[:k].cpu().numpy(), order.values[:k].cpu().numpy())
