"""Strategies that rank each sample by itself: uncertainty sampling, and chance.

Probabilities come back out of logit_grad, where the entries that matter are kept to full relative
precision: under cross entropy the others' entries are their probabilities and the hallucinated
label's is minus their sum; under binary cross entropy each is, up to sign, the smaller probability.
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
    """Highest predictive entropy first, in nats; multi-label: summed over the labels."""
    del seed, backend
    return ByScore(embedding, _entropy)


@strategy("least_confidence")
def least_confidence(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Lowest probability of the hallucinated label first; multi-label: of the least certain."""
    del seed, backend
    return ByScore(embedding, _error_probability)


@strategy("margin")
def margin(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Smallest gap between the two likeliest classes first; the gain is 1 - gap."""
    del seed, backend
    return ByScore(embedding, _one_minus_gap)


@strategy("random")
def random(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """A seeded shuffle: what every other strategy has to beat."""
    del backend
    return Shuffle(embedding, seed)


class ByScore(OneShotSelector):
    """Highest score first; ties go to the lowest row.

    Args:
        embedding: The pool.
        score: Gives every row its score ``[n]``, whatever the other rows are.
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
