"""Uncertainty scores of a gradient embedding.

Probabilities are recovered from ``logit_grad``, which keeps small ones to full relative precision.
Under cross entropy, the entry of the hallucinated label is minus the sum of the other entries,
which are the probabilities of the other classes. Under binary cross entropy, the absolute value of
each entry is the smaller of ``p`` and ``1 - p``.
"""

import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError


def entropy(embedding: GradientEmbedding) -> Tensor:
    """Returns predictive entropies in nats ``[n]`` float64; multi-label: summed over the labels."""
    others = _other_probabilities(embedding)
    if embedding.loss == "binary_cross_entropy":
        return _plogp(others).sum(dim=1) + _plogp_of_rest(others).sum(dim=1)
    return _plogp(others).sum(dim=1) + _plogp_of_rest(others.sum(dim=1))


def one_minus_gap(embedding: GradientEmbedding) -> Tensor:
    """Returns 1 minus the gap between the two largest probabilities, ``[n]`` float64."""
    runner_up = _other_probabilities(embedding).amax(dim=1)
    return error_probability(embedding) + runner_up


def error_probability(embedding: GradientEmbedding) -> Tensor:
    """Returns 1 minus the probability of the hallucinated label, ``[n]`` float64.

    Multi-label: of the least certain label.
    """
    others = _other_probabilities(embedding)
    if embedding.loss == "binary_cross_entropy":
        return others.amax(dim=1)
    return others.sum(dim=1)


def _other_probabilities(embedding: GradientEmbedding) -> Tensor:
    """Returns the probabilities of alternatives to the hallucinated label, ``[n, c]`` float64.

    Multi-label: the probability that each label is not as predicted.
    """
    if embedding.loss is None:
        raise OrderingError(
            "this strategy needs class probabilities, but the embedding is dense; "
            "build it with GradientEmbedding.from_logits"
        )
    grad = embedding.logit_grad.double()
    return grad.abs() if embedding.loss == "binary_cross_entropy" else grad.clamp(min=0.0)


def _plogp(probability: Tensor) -> Tensor:
    return -torch.xlogy(probability, probability)


def _plogp_of_rest(probability: Tensor) -> Tensor:
    rest: Tensor = torch.special.xlog1py(1.0 - probability, -probability)
    return -rest
