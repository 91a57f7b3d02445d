"""Base class of the selectors that measure distances, with an engine, centers and draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend, Factors
from lightning_badge.ordering.engine import CENTERS, Counters
from lightning_badge.ordering.selector import Selector
from lightning_badge.ordering.sharded_engine import engine_over
from lightning_badge.ordering.transfer import to_device
from lightning_badge.ordering.uniforms import Uniforms

FirstCenter: TypeAlias = Literal["uniform", "max_norm", "origin"]
FIRST_CENTERS: tuple[FirstCenter, ...] = get_args(FirstCenter)
View: TypeAlias = Callable[[GradientEmbedding], Factors]


def gradients(embedding: GradientEmbedding) -> Factors:
    """Returns the factors for distances between gradient embeddings."""
    return embedding.factors


def activations(embedding: GradientEmbedding) -> Factors:
    """Returns the factors for distances between penultimate activations: the other factor is 1."""
    ones = embedding.penultimate.new_ones(len(embedding), 1)
    return Factors.of(ones, embedding.penultimate)


class DistanceSelector(Selector):
    """Base of the selectors that measure distances.

    Args:
        embedding: The pool.
        view: Returns the factors between which distances are measured: `gradients` or
            `activations`.
        seed: Seed of all random draws.
        backend: Computes distances.
        first_center: How the first row is chosen if there is no center yet; ``origin`` makes the
            origin a center, besides labeled ones.
        labeled: Additional centers, which are not rows of the pool.
        prune: Whether to skip pairs that bounds rule out.
    """

    def __init__(
        self,
        embedding: GradientEmbedding,
        view: View,
        *,
        seed: int,
        backend: Backend,
        first_center: FirstCenter = "uniform",
        labeled: GradientEmbedding | None = None,
        prune: bool = True,
    ) -> None:
        super().__init__(embedding)
        self._view = view
        self._first_center = check_first_center(first_center)
        rows = view(embedding).contiguous()
        self._draws = Uniforms(seed, rows.sq_norm.device)
        self._engine = engine_over(rows, self.members, backend, embedding.shard, prune=prune)
        # Empty by indexing: a slice would keep the pool's current tensors alive after it grows.
        self._labeled = rows.take(self._engine.positions[:0]) if labeled is None else view(labeled)
        if first_center == "origin":
            self._labeled = self._labeled.concatenate(_origin_of(rows))
        self._engine.update_signed(self._labeled)
        self._parts = [self._engine.positions[:0]]
        self._n_chosen = 0

    @property
    def counters(self) -> Counters:
        """The cost of the ordering so far."""
        return self._engine.counters

    def _n_centers(self) -> int:
        return len(self._labeled) + self._n_chosen

    @property
    def _centers(self) -> Tensor:
        """Positions of the chosen centers; joined when they are read, not in each block."""
        self._parts = [torch.cat(self._parts)]
        return self._parts[0]

    def _centers_from(self, first: int) -> Iterator[Factors]:
        """Yields the centers from index ``first`` on; labeled ones precede chosen ones."""
        n_labeled = len(self._labeled)
        if first < n_labeled:
            yield self._labeled.take(slice(first, None))
        for part in torch.split(self._centers[max(first - n_labeled, 0) :], CENTERS):
            yield self._engine.rows_at(part)

    def _own_centers_from(self, first: int) -> Iterator[Factors]:
        """Yields those of the centers from index ``first`` on for which this process answers."""
        engine, n_labeled = self._engine, len(self._labeled)
        if first < n_labeled:
            yield engine.own_share(self._labeled.take(slice(first, None)))
        for part in torch.split(self._centers[max(first - n_labeled, 0) :], CENTERS):
            yield engine.rows.take(engine.own(part))

    def _first(self) -> tuple[Tensor, Tensor]:
        """Returns the position of the first center ``[1]`` and its gain ``[1]``."""
        engine = self._engine
        if self._first_center == "uniform":
            positions = self.members.remaining.nonzero().squeeze(1)
            first = int(self._draws.generator.integers(len(positions)))
            return positions[first : first + 1], engine.min_sq_dist.new_full((1,), torch.nan)
        return engine.largest_norm()

    def _add_centers(self, positions: Tensor) -> None:
        self._parts.append(positions)
        self._n_chosen += len(positions)

    def _on_device(self, positions: npt.NDArray[np.int64]) -> Tensor:
        return to_device(positions, self._engine.positions.device)

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        self._engine.retire(self._engine.slots_of(self._on_device(positions)))

    def _pool_state(self) -> dict[str, Any]:
        return {
            "engine": self._engine.state_dict(),
            "centers": self._centers,
            "draws": self._draws.state,
        }

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        self._engine.load_state_dict(state["engine"])
        self._parts = [state["centers"].to(self._engine.positions.device)]
        self._n_chosen = len(state["centers"])
        self._draws.state = state["draws"]


def check_first_center(first_center: str) -> FirstCenter:
    """Returns ``first_center``, or raises an OrderingError that lists the valid values."""
    for valid in FIRST_CENTERS:
        if first_center == valid:
            return valid
    names = ", ".join(FIRST_CENTERS)
    raise OrderingError(f"first_center: expected one of {names}, got {first_center!r}")


def _origin_of(rows: Factors) -> Factors:
    zeros = (factor.new_zeros(1, factor.shape[1]) for factor in (rows.logit_grad, rows.penultimate))
    return Factors.of(*zeros)
