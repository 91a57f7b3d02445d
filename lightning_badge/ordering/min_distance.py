"""The engine under every strategy that measures distances to the centers chosen so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Factors, Work, update_min_sq_dist
from lightning_badge.kernels.factors import ROW_BLOCK
from lightning_badge.ordering.walk import Walk

FirstCenter: TypeAlias = Literal["uniform", "max_norm"]
View: TypeAlias = Callable[[GradientEmbedding], Factors]


def gradients(embedding: GradientEmbedding) -> Factors:
    """Views an embedding as what it is: distances between gradients."""
    return embedding.factors


def activations(embedding: GradientEmbedding) -> Factors:
    """Views the penultimate activations alone: the other factor is a one."""
    ones = embedding.penultimate.new_ones(len(embedding), 1)
    return Factors.of(ones, embedding.penultimate)


# Centers from which on it pays to sort the rows by norm.
SORT_FROM = 64
CENTERS = 4096


@dataclass
class Counters:
    """What an ordering has cost so far; the benchmark and the tests read it."""

    pairs: int = 0
    blocks: int = 0
    candidates: int = 0
    accepted: int = 0
    _multiplied: int | Tensor = 0

    @property
    def multiplied(self) -> int:
        """Pairs that were multiplied out; a GPU is asked for it here and nowhere else."""
        return int(self._multiplied)

    def add(self, work: Work) -> None:
        """Adds the cost of an update."""
        self.pairs += work.pairs
        self._multiplied = self._multiplied + work.multiplied


@dataclass
class MinDistanceEngine:
    """Keeps for every row that is left its squared distance to the nearest center.

    The factors are never copied: what is left of the pool is a list of positions, sorted by norm,
    so that neighbours in the list have the same centers within reach.

    Attributes:
        rows: All rows of the pool ``[n]``, chosen ones too.
        positions: Which rows are left or were chosen lately, ``[r]`` int64.
        min_sq_dist: ``[r]`` float64; ``inf`` before the first center, 0 where chosen.
        left: Which of ``positions`` are left, ``[r]`` bool.
        backend: A name that ``resolve_backend`` returned.
        signed: Whether some product of activations may be negative.
        prune: Whether to look for pairs that cannot matter.
        counters: What it has cost.
        known_left: How many rows are left, where that is known without asking the device.
    """

    rows: Factors
    positions: Tensor
    min_sq_dist: Tensor
    left: Tensor
    backend: str
    signed: bool
    prune: bool = True
    counters: Counters = field(default_factory=Counters)
    known_left: int | None = None

    @classmethod
    def over(cls, rows: Factors, backend: str) -> MinDistanceEngine:
        """Starts with all rows and no center."""
        rows = rows.contiguous()
        return cls(
            rows,
            torch.arange(len(rows), device=rows.sq_norm.device),
            torch.full_like(rows.sq_norm, torch.inf),
            torch.ones_like(rows.sq_norm, dtype=torch.bool),
            backend,
            signed=_has_negative(rows),
        )

    def expect(self, centers: Factors) -> None:
        """Takes note of centers that are no rows of the pool, before any of them is added."""
        self.signed = self.signed or _has_negative(centers)

    @property
    def n_left(self) -> int:
        """How many rows are left."""
        if self.known_left is None:
            self.known_left = int(self.left.sum())
        return self.known_left

    def add_centers(self, centers: Factors, number: Tensor | None = None) -> None:
        """Brings every row up to date with ``centers``, of which the first ``number`` count."""
        self.update(self.min_sq_dist, self.positions, centers, number=number)

    def add_rows(self, rows: Factors, centers: Factors | None = None) -> None:
        """Adds rows that arrived late, at their distances to ``centers`` (inf without any)."""
        positions = torch.arange(len(rows), device=self.positions.device) + len(self.rows)
        self.rows = self.rows.concatenate(rows)
        self.signed = self.signed or _has_negative(rows)
        min_sq_dist = self.min_sq_dist.new_full((len(rows),), torch.inf)
        if centers is not None:
            self.update(min_sq_dist, positions, centers)
        self.positions = torch.cat([self.positions, positions])
        self.min_sq_dist = torch.cat([self.min_sq_dist, min_sq_dist])
        self.left = torch.cat([self.left, torch.ones_like(positions, dtype=torch.bool)])
        self.known_left = None

    def choose(self, slots: Tensor, number: Tensor | None = None) -> Tensor:
        """Takes the rows at ``slots`` of ``positions`` ``[m]`` out and makes them centers.

        Args:
            slots: ``[m]`` int64.
            number: How many of them are meant, as `Accepted` has it.

        Returns:
            ``positions`` at ``slots``.
        """
        positions = self.positions[slots]
        self.add_centers(self.rows.take(positions), number)
        self.take_out(slots, number)
        return positions

    def take_out(self, slots: Tensor, number: Tensor | None = None) -> None:
        """Takes rows out: no mass, and not left; arguments are those of `choose`."""
        if number is None:
            self.min_sq_dist[slots] = 0.0
            self.left[slots] = False
        else:
            none = number == 0
            self.min_sq_dist[slots] = self.min_sq_dist[slots].where(none, 0.0)
            self.left[slots] = self.left[slots] & none
        self.known_left = None

    def compact(self) -> None:
        """Forgets rows that are not left, and sorts the others so that neighbours are alike.

        By norm; tiles of a GPU, which are skipped as a whole, by hallucinated label before that.
        """
        kept = self.left.nonzero().squeeze(1)
        kept = kept[torch.argsort(self.rows.sq_norm[self.positions[kept]], stable=True)]
        if self.backend == "triton":
            kept = kept[torch.argsort(self.rows.label[self.positions[kept]], stable=True)]
        self.positions, self.min_sq_dist = self.positions[kept], self.min_sq_dist[kept]
        self.left = self.left[kept]

    def slots_of(self, positions: Tensor) -> Tensor:
        """Returns where in ``self.positions`` rows stand; those that are not there are left out."""
        return torch.isin(self.positions, positions).nonzero().squeeze(1)

    def state_dict(self) -> dict[str, Any]:
        """Returns what is to be saved beside the rows themselves."""
        return {
            "positions": self.positions,
            "min_sq_dist": self.min_sq_dist,
            "left": self.left,
            "signed": self.signed,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where the engine that ``state`` was taken from stood."""
        device = self.positions.device
        self.positions = state["positions"].to(device)
        self.min_sq_dist = state["min_sq_dist"].to(device)
        self.left = state["left"].to(device)
        self.known_left = None
        self.signed = state["signed"]

    def put_back(self, positions: Tensor) -> None:
        """Makes rows at ``positions`` ``[m]`` of the pool count as left again."""
        self.left[self.slots_of(positions)] = True
        self.known_left = None

    def update(
        self,
        min_sq_dist: Tensor,
        positions: Tensor,
        centers: Factors,
        *,
        number: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> None:
        """Lowers ``min_sq_dist`` ``[r]`` of the rows at ``positions`` ``[r]`` in place.

        ``number`` and ``starts`` are those of `update_min_sq_dist`.
        """
        for start in range(0, len(centers), CENTERS):
            part = centers.take(slice(start, start + CENTERS))
            work = update_min_sq_dist(
                min_sq_dist,
                self.rows,
                positions,
                part,
                signed=self.signed,
                prune=self.prune,
                backend=self.backend,
                number=None if number is None else (number - start).clamp(min=0),
                starts=None if starts is None else (starts - start).clamp(min=0),
            )
            self.counters.add(work)


def _has_negative(rows: Factors) -> bool:
    return any(
        bool(len(block) and block.amin() < 0) for block in torch.split(rows.penultimate, ROW_BLOCK)
    )


class DistanceWalk(Walk):
    """What walks have in common that measure distances: an engine, centers and draws.

    Args:
        embedding: The pool.
        view: Which factors of an embedding distances are measured between.
        seed: Of every draw.
        backend: Who computes distances.
        first_center: How the first row is chosen where there is no center yet.
        labeled: Centers that are not rows of the pool.
    """

    def __init__(
        self,
        embedding: GradientEmbedding,
        view: View,
        *,
        seed: int,
        backend: str,
        first_center: FirstCenter = "uniform",
        labeled: GradientEmbedding | None = None,
    ) -> None:
        super().__init__()
        self._view = view
        self._first_center = check_first_center(first_center)
        self._draws = np.random.default_rng(seed)
        self._engine = MinDistanceEngine.over(view(embedding), backend)
        self._labeled = view(labeled) if labeled is not None else self._engine.rows.take(slice(0))
        self._engine.expect(self._labeled)
        self._centers = self._engine.positions[:0]

    @property
    def counters(self) -> Counters:
        """What the walk has cost so far."""
        return self._engine.counters

    def _n_centers(self) -> int:
        return len(self._labeled) + len(self._centers)

    def _centers_from(self, first: int) -> Factors:
        """Returns the centers from the ``first`` on, the labeled ones before the chosen ones."""
        n_labeled = len(self._labeled)
        chosen = self._engine.rows.take(self._centers[max(first - n_labeled, 0) :])
        if first >= n_labeled:
            return chosen
        return self._labeled.take(slice(first, None)).concatenate(chosen)

    def _first_slot(self) -> tuple[Tensor, Tensor]:
        """Returns the slot of the first center ``[1]`` and its gain ``[1]``."""
        engine = self._engine
        slots = engine.left.nonzero().squeeze(1)
        if self._first_center == "uniform":
            first = int(self._draws.integers(len(slots)))
            return slots[first : first + 1], engine.min_sq_dist.new_full((1,), torch.nan)
        sq_norm = engine.rows.sq_norm[engine.positions[slots]]
        longest = (sq_norm == sq_norm.amax()).nonzero()[0]
        return slots[longest], sq_norm[longest]

    def _on_device(self, positions: npt.NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(positions).to(self._engine.positions.device)


def to_host(*tensors: Tensor) -> list[npt.NDArray[np.float64]]:
    """Returns what tensors hold as float64, each flat: one transfer, one wait for the device."""
    flat = torch.cat([tensor.double().flatten() for tensor in tensors]).cpu().numpy()
    return np.split(flat, np.cumsum([tensor.numel() for tensor in tensors])[:-1])


def check_first_center(first_center: str) -> FirstCenter:
    """Returns ``first_center``, or raises an OrderingError that lists what it may be."""
    if first_center == "uniform":
        return "uniform"
    if first_center == "max_norm":
        return "max_norm"
    raise OrderingError(f"first_center: expected one of uniform, max_norm, got {first_center!r}")
