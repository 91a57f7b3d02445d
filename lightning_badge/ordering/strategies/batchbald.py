"""Mutual information between labels and weights: BALD, arXiv 1112.5745, and BatchBALD, 1906.08158.

Both read class probabilities under ``s`` samples of the weights' posterior, ``[n, s, c]``. BALD
scores each row by itself. BatchBALD picks greedily what the labels of all picks together tell of
the weights. The greedy rule adds one row at a time, so its picks have prefixes.

A configuration is one joint label of the picks so far. Given one, the posterior samples have
weights (Bayes' rule), and so every row has a predictive distribution. The gain of a row is the mean
of that distribution's entropy over the configurations, less its mean entropy under single samples:
section 3 of the paper, rearranged so that the joint entropy of the picks, whose variance is what
drowns the gains, never has to be subtracted.
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

# Numbers in a temporary: rows are looked at in blocks of that size.
BLOCK = 1 << 21
# Of gains, well above the roundoff of a sum of a few thousand terms.
DECIMALS = 12


@strategy("bald")
def bald(
    embedding: GradientEmbedding, *, seed: int, backend: Backend, posterior: Tensor
) -> Selector:
    """Highest mutual information between label and weights first, in nats.

    Args:
        embedding: The pool.
        seed: Nothing is drawn.
        backend: Not needed.
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
    """Greedy joint mutual information, down to a depth; from there on as ``bald``.

    All picks together tell at most ``log(s)`` nats of the weights, so the gains must fade; once
    configurations are sampled they are estimates. Ranks behind ``depth`` have no gain.

    Args:
        embedding: The pool.
        seed: Of the sampled configurations.
        backend: Not needed.
        posterior: Class probabilities ``[n, s, c]``.
        depth: Ranks that are picked jointly.
        configurations: Joint labels of the picks that are looked at: all of them as long as there
            are no more than these, then so many, drawn from their joint distribution.

    Raises:
        OrderingError: A negative ``depth``, or no configurations.
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
    """Greedy picks, one rank a block down to ``depth``, then all remaining rows by their score."""

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
                raise OrderingError(f"{name}: expected an integer from {least} on, got {value!r}")
        self._posterior = posterior
        self._scores = mutual_information(posterior)
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
            # BALD's own gains are its scores; behind BatchBALD's picks they would be another's.
            gains = self._scores[best_first] if not self._depth else np.nan
            return Block(Picks.of(best_first, gains))
        row, gain = self._best(best_first)
        return Block(Picks.of([row], [gain]))

    def _commit(self, block: Block, n: int) -> None:
        del n  # joint picks are blocks of one rank
        if self._n_picked < self._depth:
            row = int(block.picks.positions[0])
            self._joint = self._joint.with_pick(self._posterior[row].double().cpu(), self._draws)
            self._n_picked += 1

    def _best(self, best_first: npt.NDArray[np.int64]) -> tuple[int, float]:
        """Returns the row of the largest gain, the lowest of equals, and the gain.

        What a label tells beside others is no more than what it tells alone: once scores fall below
        the best gain so far no row behind can win.
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
        del embedding
        if posterior is None:
            raise OrderingError("extend: this strategy needs posterior=, one row for each sample")
        self._posterior = posterior
        self._scores = np.append(self._scores, mutual_information(posterior[first:]))

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        """Scores of discarded rows stay where they are; nobody reads them."""

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
    """Configurations of the picks so far, and what each says of the posterior samples.

    Attributes:
        log_likelihood: Of each configuration under each posterior sample, ``[m, s]`` float64.
        weights: Probabilities of the configurations, ``[m]``; equal where they were drawn.
        sampled_from: Which posterior sample drew each configuration ``[m]`` int64; empty while they
            are all there.
        limit: Configurations at most.
    """

    log_likelihood: Tensor
    weights: Tensor
    sampled_from: Tensor
    limit: int

    @classmethod
    def start(cls, s: int, limit: int) -> Joint:
        """Starts without picks: one configuration, sure under every sample."""
        nobody = torch.zeros(0, dtype=torch.int64)
        return cls(torch.zeros(1, s).double(), torch.ones(1).double(), nobody, limit)

    @property
    def sample_weights(self) -> Tensor:
        """Weights of the posterior samples given each configuration, ``[m, s]``."""
        return self.log_likelihood.softmax(dim=1)

    def with_pick(self, probabilities: Tensor, draws: np.random.Generator) -> Joint:
        """Returns the configurations with one more pick.

        Args:
            probabilities: Of the pick's classes under each posterior sample, ``[s, c]`` float64.
            draws: Of the labels, where configurations are sampled.
        """
        s, c = probabilities.shape
        log_p = probabilities.log()
        if not len(self.sampled_from) and len(self.weights) * c <= self.limit:
            log_likelihood = (self.log_likelihood[:, None, :] + log_p.T[None, :, :]).reshape(-1, s)
            weights = log_likelihood.logsumexp(dim=1).sub(math.log(s)).exp()
            # What is impossible would only make NaN.
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
        """Draws configurations of the picks so far, evenly from the posterior samples."""
        s = self.log_likelihood.shape[1]
        sampled_from = torch.arange(self.limit) % s
        # Given a posterior sample a configuration is as probable as its likelihood under it.
        cumulative = self.log_likelihood.exp().cumsum(dim=0)
        uniforms = torch.from_numpy(draws.random(self.limit))
        targets = uniforms * cumulative[-1, sampled_from]
        chosen = torch.searchsorted(
            cumulative.T[sampled_from].contiguous(), targets[:, None], right=True
        ).squeeze(1)
        chosen = chosen.clamp(max=len(self.weights) - 1)
        weights = torch.full((self.limit,), 1.0 / self.limit, dtype=torch.float64)
        return Joint(self.log_likelihood[chosen], weights, sampled_from, self.limit)


def mutual_information(posterior: Tensor) -> npt.NDArray[np.float64]:
    """Returns BALD's score of each row ``[n]``: I(label; weights) in nats, at least 0.

    Args:
        posterior: Class probabilities ``[n, s, c]``.
    """
    parts = [np.zeros(0)]
    joint = Joint.start(posterior.shape[1], 1)
    for block in torch.split(posterior, max(1, BLOCK // max(1, posterior[:1].numel()))):
        parts.append(conditional_information(block, joint))
    return np.concatenate(parts)


def conditional_information(posterior: Tensor, joint: Joint) -> npt.NDArray[np.float64]:
    """Returns I(label; weights | labels of the picks) of each row ``[n]`` in nats, at least 0."""
    probabilities = posterior.double().cpu()
    predictive = torch.einsum("ms,nsc->nmc", joint.sample_weights, probabilities)
    total = torch.special.entr(predictive).sum(dim=2) @ joint.weights
    alone = torch.special.entr(probabilities).sum(dim=2).mean(dim=1)
    # Rounded so that copies tie, wherever in a block they stand.
    gains: npt.NDArray[np.float64] = (total - alone).clamp(min=0.0).numpy().round(DECIMALS)
    return gains
