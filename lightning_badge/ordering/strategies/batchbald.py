"""Mutual information between labels and weights: BALD, arXiv 1112.5745, and BatchBALD, 1906.08158.

Both use class probabilities under ``s`` posterior samples of the weights, ``[n, s, c]``. BALD
scores each row independently. BatchBALD greedily maximizes the mutual information between the
weights and the joint labels of all picks. It adds one row at a time, so the picks are an ordering.

A configuration is one joint label of the picks so far. Given a configuration, Bayes' rule weights
the posterior samples, which gives every row a predictive distribution. The gain of a row is the
mean entropy of that distribution over the configurations, minus the row's mean entropy under single
posterior samples. This is section 3 of the BatchBALD paper, rearranged so that the joint entropy of
the picks is never subtracted: its sampling variance would be larger than the gains.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import Block, Picks, Selector

# Largest number of entries in a temporary tensor; rows are processed in blocks of that size.
BLOCK = 1 << 21
# Decimals to which gains are rounded; far above the roundoff of sums of a few thousand terms.
DECIMALS = 12


@strategy("bald", sharded=True)
def bald(
    embedding: GradientEmbedding, *, seed: int, backend: Backend, posterior: Tensor
) -> Selector:
    """Ranks by the mutual information between label and weights, highest first, in nats.

    Args:
        embedding: The pool.
        seed: Not used.
        backend: Not used.
        posterior: Class probabilities ``[n, s, c]``.
    """
    del backend
    return BatchBALD(embedding, posterior, seed=seed, depth=0, configurations=1)


@strategy("batchbald")
def batchbald(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    posterior: Tensor,
    depth: int = 20,
    configurations: int = 1000,
) -> Selector:
    """Picks ``depth`` rows by greedy joint mutual information; ranks the others as ``bald``.

    The joint mutual information is at most ``log(s)`` nats, so the gains approach 0. Gains are
    exact while all configurations are enumerated, and estimates once they are sampled. Ranks from
    ``depth`` on have no gain.

    Args:
        embedding: The pool.
        seed: Seed of the sampled configurations.
        backend: Not used.
        posterior: Class probabilities ``[n, s, c]``.
        depth: Number of ranks that are picked jointly.
        configurations: Largest number of joint labels of the picks. All joint labels are enumerated
            while there are no more than this; after that, this many are sampled from their joint
            distribution.

    Raises:
        OrderingError: A negative ``depth``, or ``configurations`` below 1.
    """
    del backend
    return BatchBALD(
        embedding,
        posterior,
        seed=seed,
        depth=depth,
        configurations=configurations,
    )


class BatchBALD(Selector):
    """Greedy picks in blocks of one rank up to ``depth``, then all remaining rows by score."""

    def __init__(
        self,
        embedding: GradientEmbedding,
        posterior: Tensor,
        *,
        seed: int,
        depth: int,
        configurations: int,
    ) -> None:
        super().__init__(embedding)
        for name, value, least in (("depth", depth, 0), ("configurations", configurations, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise OrderingError(
                    f"{name}: expected an integer of {least} or more, got {value!r}"
                )
        self._posterior = posterior
        self._scores = _whole_scores(embedding, posterior)
        self._depth = depth
        self._draws = np.random.default_rng(seed)
        self._joint = Joint.start(posterior.shape[1], configurations)
        self._n_picked = 0

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        remaining = self.members.remaining.nonzero().squeeze(1).cpu().numpy()
        best_first = remaining[np.argsort(-self._scores[remaining], kind="stable")]
        if self._n_picked >= self._depth:
            # BALD's gains are its scores; after BatchBALD's picks, scores are not the criterion.
            gains = self._scores[best_first] if not self._depth else np.nan
            return Block(Picks.of(best_first, gains))
        row, gain = self._best(best_first)
        return Block(Picks.of([row], [gain]))

    def _commit(self, block: Block, n: int) -> None:
        self._rows_published(block.picks.positions[:n])

    def _rows_published(self, positions: npt.NDArray[np.int64]) -> None:
        for row in positions[: self._depth - self._n_picked].tolist():
            self._joint = self._joint.with_pick(self._posterior[row].double().cpu(), self._draws)
            self._n_picked += 1

    def _best(self, best_first: npt.NDArray[np.int64]) -> tuple[int, float]:
        """Returns the row of the largest gain, the lowest row in a tie, and the gain.

        A row's gain given other labels is at most its score. So the search over rows sorted by
        score stops once scores fall below the best gain.
        """
        row, best = -1, -math.inf
        s, c = self._posterior.shape[1:]
        size = max(1, BLOCK // (len(self._joint.weights) * c + s * c))
        for start in range(0, len(best_first), size):
            rows = best_first[start : start + size]
            if self._scores[rows[0]] < best:
                break
            gains = conditional_information(self._posterior[torch.from_numpy(rows)], self._joint)
            candidate = np.lexsort((rows, -gains))[0]
            if (-gains[candidate], rows[candidate]) < (-best, row):
                row, best = int(rows[candidate]), float(gains[candidate])
        return row, best

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        if posterior is None:
            raise OrderingError("extend: this strategy needs posterior=, one row for each sample")
        new = posterior[len(self._posterior) :]
        self._posterior = posterior
        self._scores = np.append(self._scores, _whole_scores(embedding.added(first), new))

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        """Does nothing: scores of discarded rows are never read."""

    def _pool_state(self) -> dict[str, Any]:
        return {
            "joint": (self._joint.log_likelihood, self._joint.weights, self._joint.sampled_from),
            "n_picked": self._n_picked,
            "draws": self._draws.bit_generator.state,
        }

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        log_likelihood, weights, sampled_from = state["joint"]
        self._joint = Joint(log_likelihood, weights, sampled_from, self._joint.limit)
        self._n_picked = state["n_picked"]
        self._draws.bit_generator.state = state["draws"]


@dataclass(frozen=True, eq=False)
class Joint:
    """Configurations of the picks so far, with their likelihoods.

    Attributes:
        log_likelihood: Log-likelihood of each configuration under each posterior sample, ``[m, s]``
            float64.
        weights: Probabilities of the configurations, ``[m]``; equal if they were sampled.
        sampled_from: Posterior sample from which each configuration was drawn, ``[m]`` int64; empty
            while all configurations are enumerated.
        limit: Largest number of configurations.
    """

    log_likelihood: Tensor
    weights: Tensor
    sampled_from: Tensor
    limit: int

    @classmethod
    def start(cls, s: int, limit: int) -> Joint:
        """Starts without picks: one empty configuration of probability 1."""
        not_sampled = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(1, s).double(), torch.ones(1).double(), not_sampled, limit)

    @property
    def sample_weights(self) -> Tensor:
        """Weights of the posterior samples given each configuration, ``[m, s]``."""
        return self.log_likelihood.softmax(dim=1)

    def with_pick(self, probabilities: Tensor, draws: np.random.Generator) -> Joint:
        """Returns the configurations with one more pick.

        Args:
            probabilities: Class probabilities of the pick under each posterior sample, ``[s, c]``
                float64.
            draws: Random generator for the labels of sampled configurations.
        """
        s, c = probabilities.shape
        log_p = probabilities.log()
        if not len(self.sampled_from) and len(self.weights) * c <= self.limit:
            log_likelihood = (self.log_likelihood[:, None, :] + log_p.T[None, :, :]).reshape(-1, s)
            weights = log_likelihood.logsumexp(dim=1).sub(math.log(s)).exp()
            # Impossible configurations would cause NaN.
            possible = weights > 0
            return Joint(log_likelihood[possible], weights[possible], self.sampled_from, self.limit)
        joint = self if len(self.sampled_from) else self._sampled(draws)
        uniforms = torch.from_numpy(draws.random(len(joint.weights)))
        cumulative = probabilities.cumsum(dim=1)[joint.sampled_from]
        labels = (uniforms[:, None] * cumulative[:, -1:] >= cumulative).sum(dim=1)
        labels = labels.clamp(max=c - 1)
        log_likelihood = joint.log_likelihood + log_p.T[labels]
        return Joint(log_likelihood, joint.weights, joint.sampled_from, self.limit)

    def _sampled(self, draws: np.random.Generator) -> Joint:
        """Samples configurations of the picks so far, equally many from each posterior sample."""
        s = self.log_likelihood.shape[1]
        sampled_from = torch.arange(self.limit) % s
        # Given a posterior sample, a configuration's probability is its likelihood.
        cumulative = self.log_likelihood.exp().cumsum(dim=0)
        uniforms = torch.from_numpy(draws.random(self.limit))
        targets = uniforms * cumulative[-1, sampled_from]
        chosen = torch.searchsorted(
            cumulative.T[sampled_from].contiguous(), targets[:, None], right=True
        ).squeeze(1)
        chosen = chosen.clamp(max=len(self.weights) - 1)
        weights = torch.full((self.limit,), 1.0 / self.limit, dtype=torch.float64)
        return Joint(self.log_likelihood[chosen], weights, sampled_from, self.limit)


def _whole_scores(embedding: GradientEmbedding, posterior: Tensor) -> npt.NDArray[np.float64]:
    """Returns BALD's scores of the whole pool, of which these are this process's rows."""
    return embedding.whole(torch.from_numpy(mutual_information(posterior))).numpy()


def mutual_information(posterior: Tensor) -> npt.NDArray[np.float64]:
    """Returns BALD's score of each row ``[n]``: I(label; weights) in nats, clipped at 0.

    Args:
        posterior: Class probabilities ``[n, s, c]``.
    """
    parts = [np.zeros(0)]
    joint = Joint.start(posterior.shape[1], 1)
    for block in torch.split(posterior, max(1, BLOCK // max(1, posterior[:1].numel()))):
        parts.append(conditional_information(block, joint))
    return np.concatenate(parts)


def conditional_information(posterior: Tensor, joint: Joint) -> npt.NDArray[np.float64]:
    """Returns I(label; weights | labels of picks) of each row ``[n]`` in nats, clipped at 0."""
    probabilities = posterior.double().cpu()
    predictive = torch.einsum("ms,nsc->nmc", joint.sample_weights, probabilities)
    total = torch.special.entr(predictive).sum(dim=2) @ joint.weights
    alone = torch.special.entr(probabilities).sum(dim=2).mean(dim=1)
    # Rounded so that copies tie exactly, whatever their place in a block.
    gains: npt.NDArray[np.float64] = (total - alone).clamp(min=0.0).numpy().round(DECIMALS)
    return gains
