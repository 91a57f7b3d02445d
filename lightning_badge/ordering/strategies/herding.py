"""Greedy coverage by similarity: MaxHerding, arXiv 2407.12212, and UHerding, arXiv 2412.20644.

Each rank is the row whose addition increases the weighted similarity of the pool to its nearest
center most. The result equals naive greedy; see `kernels.herding` for how it is computed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend
from lightning_badge.kernels.factors import row_sq_norm
from lightning_badge.kernels.herding import Herding, HerdingCounters
from lightning_badge.kernels.registry import tell_missing
from lightning_badge.kernels.similarity import (
    ONE,
    GridRows,
    falloff_of,
    grid_step,
    raise_to,
    weight_unit,
)
from lightning_badge.ordering import uncertainty as scores
from lightning_badge.ordering.grid_pool import GridPool, ShardedHerding, largest_of
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import Block, Picks, Selector
from lightning_badge.ordering.sigma import Sigma, check_sigma, choose_sigma
from lightning_badge.ordering.transfer import to_device

_LOG = logging.getLogger(__name__)

SMALLEST_BLOCK, LARGEST_BLOCK = 8, 256
# From this many rows on, a message says that fewer summands are faster.
LARGE_POOL = 60_000

Uncertainty: TypeAlias = Literal["margin", "entropy", "least_confidence"]
Weights: TypeAlias = Callable[[GradientEmbedding], Tensor]


def _ones(embedding: GradientEmbedding) -> Tensor:
    return embedding.sq_norm.new_ones(len(embedding))


UNCERTAINTY: dict[str, Weights] = {
    "margin": scores.one_minus_gap,
    "entropy": scores.entropy,
    "least_confidence": scores.error_probability,
}


@strategy("maxherding", sharded=True)
def maxherding(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    labeled: GradientEmbedding | None = None,
    sigma: Sigma = "neighbour",
    normalise: bool = True,
    summands: int | None = None,
) -> Selector:
    """Picks the row that increases the pool's similarity to its nearest centers most.

    The similarity of two rows is ``exp(-d^2 / sigma^2)``, where ``d`` is the distance between their
    penultimate activations. The gain is the increase of the sum, over the pool, of the similarity
    to the most similar chosen or labeled row. Ties go to the lowest row. Nothing is drawn, except
    for the rows of the rule ``neighbour`` and of ``summands``.

    Args:
        embedding: The pool.
        seed: Seed of these draws.
        backend: Computes similarities.
        labeled: Embedding of the labeled set, whose rows are centers from the start.
        sigma: Width of the similarity: a number, or a rule, see `choose_sigma`.
        normalise: Whether to divide the activations of each row by their norm.
        summands: Sum over a seeded sample of this many rows only; None for the whole pool.

    Raises:
        OrderingError: An invalid ``sigma``, ``normalise`` or ``summands``.
    """
    return GreedyCoverage(
        embedding,
        _ones,
        seed=seed,
        backend=backend,
        labeled=labeled,
        sigma=sigma,
        normalise=normalise,
        summands=summands,
    )


@strategy("uherding", sharded=True)
def uherding(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    labeled: GradientEmbedding | None = None,
    uncertainty: Uncertainty = "margin",
    sigma: Sigma = "neighbour",
    normalise: bool = True,
    summands: int | None = None,
) -> Selector:
    """MaxHerding, in which each row of the sum is weighted by its uncertainty.

    Args:
        embedding: The pool.
        seed: As in `maxherding`.
        backend: Computes similarities.
        labeled: As in `maxherding`.
        uncertainty: ``margin``, 1 minus the gap between the two largest probabilities;
            ``entropy``; or ``least_confidence``, 1 minus the largest probability.
        sigma: As in `maxherding`.
        normalise: As in `maxherding`.
        summands: As in `maxherding`.

    Raises:
        OrderingError: An invalid argument, or an embedding without class probabilities.
    """
    if uncertainty not in UNCERTAINTY:
        raise OrderingError(
            f"uncertainty: expected one of {', '.join(UNCERTAINTY)}, got {uncertainty!r}"
        )
    return GreedyCoverage(
        embedding,
        UNCERTAINTY[uncertainty],
        seed=seed,
        backend=backend,
        labeled=labeled,
        sigma=sigma,
        normalise=normalise,
        summands=summands,
    )


class GreedyCoverage(Selector):
    """Greedy maximisation of the weighted similarity to the nearest center.

    Args:
        embedding: The pool.
        weights: Returns the weight of each row, ``[n]``.
        **more: As in `uherding`.
    """

    def __init__(
        self,
        embedding: GradientEmbedding,
        weights: Weights,
        *,
        seed: int,
        backend: Backend,
        labeled: GradientEmbedding | None,
        sigma: Sigma,
        normalise: bool,
        summands: int | None,
    ) -> None:
        super().__init__(embedding)
        self._weights_of, self._seed, self._backend = weights, seed, backend
        self._sigma_rule, self._normalise = check_sigma(sigma), check_flag(normalise)
        self._n_summands = check_summands(summands)
        self._activations = activations(embedding)
        self._labeled_activations = (
            self._activations[:0].clone() if labeled is None else activations(labeled)
        )
        self._weights, self._shard = weights(embedding), embedding.shard
        self._sigma: float | None = None  # until the first rank is needed
        self._chosen = torch.empty(0, dtype=torch.int64, device=self._weights.device)
        self._block_size = SMALLEST_BLOCK
        self.counters = HerdingCounters()

    def metadata(self) -> dict[str, Any]:
        """See `Selector.metadata`: the width, the rule behind it, and the number of summands."""
        n = len(self.members)
        summands = n if self._n_summands is None else min(n, self._n_summands)
        return {"sigma": self._sigma, "sigma_rule": self._sigma_rule, "summands": summands}

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        if self._sigma is None:
            self._start()
        self.counters.blocks += 1
        picked = self._herding.pick(self._best, self._bounds, self._block_size)
        if not len(picked.positions):
            return Block(Picks.of(self.members.remaining.nonzero().squeeze(1).cpu(), 0.0))
        self._block_size = min(2 * self._block_size, LARGEST_BLOCK)
        gains = picked.gains.double().cpu().numpy() * (self._unit / ONE)
        pending = {"best": picked.best, "bounds": picked.bounds}
        return Block(Picks.of(picked.positions.cpu(), gains), pending)

    def _commit(self, block: Block, n: int) -> None:
        issued = to_device(block.picks.positions[:n], self._chosen.device)
        self._chosen = torch.cat([self._chosen, issued])
        if block.pending and n == len(block.picks):
            self._best, self._bounds = block.pending["best"], block.pending["bounds"]
            return
        if block.pending:
            self._raise_to(issued)
        else:  # they have gain 0: they are nearest to no row that counts
            self._bounds[issued] = -1

    def _raise_to(self, issued: Tensor) -> None:
        """Makes rows centers; the bounds from before still hold."""
        self._bounds[issued] = -1
        # Similarities that were kept may be incomplete: picks that are dropped made some of them
        # irrelevant.
        self._herding.forget()
        centers = self._pool.at(issued)
        self._best = raise_to(self._best, self._pool.rows, centers, self._falloff)

    def _rows_published(self, positions: npt.NDArray[np.int64]) -> None:
        issued = to_device(positions, self._chosen.device)
        self._chosen = torch.cat([self._chosen, issued])
        if self._sigma is not None:
            self._raise_to(issued)

    def _start(self) -> None:
        """Chooses the width and computes the first bounds of all gains."""
        is_first = self._shard is None or self._shard.peers.rank == 0
        n, device = len(self.members), self._weights.device
        if n > LARGE_POOL and self._n_summands is None and is_first:
            _LOG.info(
                "herding: %s rows; the time grows with their square, 60,000 take a minute or so on "
                "two cores; summands=20000 sums over a sample, the strategy badge takes seconds",
                f"{n:,}",
            )
        if self._shard is None:  # all pairs: slow without numba as soon as numba would order
            tell_missing(self._backend, device, n, least=0)
        elif is_first and self._backend.name == "numba":
            _LOG.warning(
                "herding: several processes compute gains with torch, on CPUs far slower than "
                "numba on one process; docs/scale.md says how to order on one"
            )
        self._place_on_grid()
        self._sigma, self._sigma_rule = choose_sigma(
            self._sigma_rule, self._pool, self._labeled, self._step, self._seed
        )
        self._build()

    def _place_on_grid(self) -> None:
        largest = 1.0
        if not self._normalise:
            norms = torch.cat([_norms(self._activations), _norms(self._labeled_activations)])
            largest = largest_of(norms, self._shard)
        self._step = grid_step(largest)
        self._pool = GridPool(self._on_grid(self._activations), self._shard)
        self._labeled = self._on_grid(self._labeled_activations)

    def _on_grid(self, rows: Tensor) -> GridRows:
        return GridRows.of(rows, normalise=self._normalise, step=self._step)

    def _build(self) -> None:
        """Computes the state of all rows anew, from the labeled and chosen rows."""
        self._unit = self._unit_of_weights()
        self._new_herding()
        rows = self._pool.rows
        self._best = self._raised(torch.zeros_like(rows.coordinates[:, 0]), rows)
        self._bounds = self._herding.bounds(self._best)
        self._bounds[~self.members.remaining] = -1

    def _new_herding(self) -> None:
        self._falloff = falloff_of(float(self._sigma or 0.0), self._step)
        more = self._falloff, self._integer_weights(), self.counters
        self._herding: Herding
        if self._shard is None:
            self._herding = self._backend.herding(self._pool.rows, *more)
        else:
            self._herding = ShardedHerding(self._pool, *more)

    def _unit_of_weights(self) -> float:
        return weight_unit(largest_of(self._weights, self._shard), len(self.members))

    def _raised(self, best: Tensor, rows: GridRows) -> Tensor:
        """Returns ``best`` after all labeled and chosen rows became centers."""
        best = raise_to(best, rows, self._labeled, self._falloff)
        return raise_to(best, rows, self._pool.at(self._chosen), self._falloff)

    def _integer_weights(self) -> Tensor:
        """Returns the weights in units; 0 for rows that were discarded or are no summands."""
        weights = (self._weights / self._unit).round_().long()
        n = len(self.members)
        if self._n_summands is not None and self._n_summands < n:
            # The keys of the first rows do not depend on how many rows follow.
            keys = np.random.default_rng([self._seed, 1]).random(n)
            left_out = np.argsort(keys, kind="stable")[self._n_summands :]
            weights[self._pool.own(to_device(left_out, weights.device))] = 0
        discarded = to_device(np.flatnonzero(self.members.discarded), weights.device)
        weights[self._pool.own(discarded)] = 0
        return weights

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior
        new = embedding.added(first)
        self._activations, self._shard = activations(embedding), embedding.shard
        self._weights = torch.cat([self._weights, self._weights_of(new)])
        if self._sigma is None:
            return
        outgrown = self._unit_of_weights() > self._unit
        if not self._normalise:
            outgrown |= largest_of(_norms(activations(new)), self._shard) > self._step * 2**25
        if outgrown:
            self._place_on_grid()
            self._build()
            return
        self._extend(self._on_grid(activations(new)), first)

    def _extend(self, new: GridRows, first: int) -> None:
        """Adds rows from position ``first`` on: they raise the bounds of the rows before them."""
        first_own = len(self._pool.rows)
        self._pool = self._pool.concatenate(new, self._shard)
        self._new_herding()
        best = self._raised(torch.zeros_like(new.coordinates[:, 0]), new)
        self._best = torch.cat([self._best, best])
        everything = torch.arange(len(self._pool), device=self._best.device)
        summands = self._herding.weights.nonzero().squeeze(1)
        newcomers = summands[summands >= first_own]
        of_old = self._herding.bounds_of(self._best, everything[:first], newcomers)
        of_new = self._herding.bounds_of(self._best, everything[first:], summands)
        self._bounds = torch.cat([self._bounds + of_old, of_new])
        self._bounds[~self.members.remaining] = -1

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        if self._sigma is None:
            return
        discarded = to_device(positions, self._bounds.device)
        self._bounds[discarded] = -1
        self._herding.weights[self._pool.own(discarded)] = 0
        self._herding.forget()

    def _pool_state(self) -> dict[str, Any]:
        state = {"chosen": self._chosen, "block_size": self._block_size, "sigma": self._sigma}
        if self._sigma is None:
            return state
        return state | {
            "rule": self._sigma_rule,
            "step": self._step,
            "unit": self._unit,
            "best": self._best,
            "bounds": self._bounds,
        }

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        device = self._chosen.device
        self._chosen = state["chosen"].to(device)
        self._block_size, self._sigma = state["block_size"], state["sigma"]
        if self._sigma is None:
            return
        self._sigma_rule, self._step, self._unit = state["rule"], state["step"], state["unit"]
        self._best, self._bounds = state["best"].to(device), state["bounds"].to(device)
        n_own, n = len(self._weights), len(self.members)
        if self._best.shape != (n_own,) or self._bounds.shape != (n,):
            raise OrderingError(
                f"state: expected {n_own} similarities and {n} bounds, got "
                f"{list(self._best.shape)} and {list(self._bounds.shape)}"
            )
        self._pool = GridPool(self._on_grid(self._activations), self._shard)
        self._labeled = self._on_grid(self._labeled_activations)
        self._new_herding()


def activations(embedding: GradientEmbedding) -> Tensor:
    """Returns the penultimate activations, without the column of ones for the bias."""
    return embedding.penultimate[:, :-1] if embedding.bias else embedding.penultimate


def check_flag(normalise: bool) -> bool:
    """Returns ``normalise``, or raises an OrderingError."""
    if not isinstance(normalise, bool):
        raise OrderingError(f"normalise: expected true or false, got {normalise!r}")
    return normalise


def check_summands(summands: int | None) -> int | None:
    """Returns ``summands``, or raises an OrderingError."""
    is_count = isinstance(summands, int) and not isinstance(summands, bool) and summands > 0
    if summands is not None and not is_count:
        raise OrderingError(
            f"summands: expected a number of rows above 0, or None for all, got {summands!r}"
        )
    return summands


def _norms(rows: Tensor) -> Tensor:
    norms: Tensor = row_sq_norm(rows).sqrt()
    return norms
