"""Strategies that score each sample independently: uncertainty sampling, and random order."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.kernels import Backend
from lightning_badge.ordering import uncertainty
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import OneShotSelector, Picks, Selector


@strategy("entropy", sharded=True)
def entropy(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Ranks by predictive entropy in nats, highest first; multi-label: summed over the labels."""
    del seed, backend
    return ByScore(embedding, uncertainty.entropy)


@strategy("least_confidence", sharded=True)
def least_confidence(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Ranks by the probability of the hallucinated label, lowest first.

    Multi-label: by the probability of the least certain label.
    """
    del seed, backend
    return ByScore(embedding, uncertainty.error_probability)


@strategy("margin", sharded=True)
def margin(embedding: GradientEmbedding, *, seed: int, backend: Backend) -> Selector:
    """Ranks by the gap between the two most probable classes, smallest first; gain is 1 - gap."""
    del seed, backend
    return ByScore(embedding, uncertainty.one_minus_gap)


@strategy("random", sharded=True)
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
        self._scores = embedding.whole(score(embedding)).cpu().numpy()

    def _rank(self, remaining: npt.NDArray[np.int64]) -> Picks:
        best_first = remaining[np.argsort(-self._scores[remaining], kind="stable")]
        return Picks.of(best_first, self._scores[best_first])

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior
        added = embedding.added(first)
        self._scores = np.append(self._scores, added.whole(self._score(added)).cpu().numpy())


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
