"""Strategies that score each sample independently: uncertainty sampling, and random order.

Probabilities are recovered from ``logit_grad``, which keeps small ones to full relative precision.
Under cross entropy, the entry of the hallucinated label is minus the sum of the other entries,
which are the probabilities of the other classes. Under binary cross entropy, the absolute value of
each entry is the smaller of ``p`` and ``1 - p``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import OneShotSelector, Picks, Selector


@strategy("entropy")
def entropy(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Ranks by predictive entropy in nats, highest first; multi-label: summed over the labels."""
    del seed, backend
    return ByScore(embedding, _entropy)


@strategy("least_confidence")
def least_confidence(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Ranks by the probability of the hallucinated label, lowest first.

    Multi-label: by the probability of the least certain label.
    """
    del seed, backend
    return ByScore(embedding, _error_probability)


@strategy("margin")
def margin(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Ranks by the gap between the two most probable classes, smallest first; gain is 1 - gap."""
    del seed, backend
    return ByScore(embedding, _one_minus_gap)


@strategy("random")
def random(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Shuffles the pool with a seed: the baseline for all other strategies."""
    del backend
    return Shuffle(embedding, seed)


class ByScore(OneShotSelector):
    """Ranks by score, highest first; ties go to the lowest row.

    Args:
        embedding: The pool.
        score: Returns the scores ``[n]`` of an embedding; a row's score must not depend on other
            rows.
    """

    def __init__(
        self, embedding: GradientEmbedding, score: Callable[[GradientEmbedding], Tensor]
    ) -> None:
        super().__init__(embedding)
        self._score = score
        self._scores = score(embedding).cpu().numpy()

    def _rank(self, remaining: npt.NDArray[np.int64]) -> Picks:
        best_first = remaining[np.argsort(-self._scores[remaining], kind="stable")]
        return Picks.of(best_first, self._scores[best_first])

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior
        new = self._score(embedding.take(slice(first, None))).cpu().numpy()
        self._scores = np.append(self._scores, new)


class Shuffle(OneShotSelector):
    """A seeded shuffle of the remaining rows."""

    def __init__(self, embedding: GradientEmbedding, seed: int) -> None:
        super().__init__(embedding)
        self._draws = np.random.default_rng(seed)

    def _rank(self, remaining: npt.NDArray[np.int64]) -> Picks:
        return Picks.of(self._draws.permutation(remaining), np.nan)

    def _pool_state(self) -> dict[str, Any]:
        return {"draws": self._draws.bit_generator.state}

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        self._draws.bit_generator.state = state["draws"]


def _entropy(embedding: GradientEmbedding) -> Tensor:
    others = _other_probabilities(embedding)
    if embedding.loss == "binary_cross_entropy":
        return _plogp(others).sum(dim=1) + _plogp_of_rest(others).sum(dim=1)
    return _plogp(others).sum(dim=1) + _plogp_of_rest(others.sum(dim=1))


def _one_minus_gap(embedding: GradientEmbedding) -> Tensor:
    runner_up = _other_probabilities(embedding).amax(dim=1)
    return _error_probability(embedding) + runner_up


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
