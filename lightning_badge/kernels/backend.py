"""The `Backend` protocol: computes embeddings, distances and accepted candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import Loss, logit_grad
from lightning_badge.kernels.herding import DenseHerding, Herding, HerdingCounters
from lightning_badge.kernels.mass import Mass
from lightning_badge.kernels.similarity import GridRows


class Work(NamedTuple):
    """The cost of an update.

    Attributes:
        pairs: Rows times centers.
        multiplied: Pairs whose inner products were computed, that is, not pruned; a tensor ``[]``
            where the count is on the device.
    """

    pairs: int
    multiplied: int | Tensor


class Accepted(NamedTuple):
    """The candidates of a block that become centers.

    Attributes:
        candidates: Indices into the block, in the order of acceptance, ``[m]`` int64.
        gains: Squared distance of each to its nearest center when it was accepted, ``[m]`` float64.
        number: How many of the ``m`` entries are valid, ``[]`` int64; on the CPU if the host knows
            it. The entries after those repeat the first one.
    """

    candidates: Tensor
    gains: Tensor
    number: Tensor

    @classmethod
    def all_of(cls, candidates: Tensor, gains: Tensor) -> Accepted:
        """Builds a result in which every entry is valid."""
        return cls(candidates, gains, torch.tensor(len(candidates)))


class Drawn(NamedTuple):
    """The candidates of a block.

    Attributes:
        slots: Slots, which may repeat, ``[b]`` int64.
        positions: Their positions among all rows, ``[b]`` int64.
        sq_dist: Squared distance to the nearest center, ``[b]`` float64.
        limit: A uniform number times the weight that the candidate was drawn with, a squared
            distance, ``[b]`` float64.
    """

    slots: Tensor
    positions: Tensor
    sq_dist: Tensor
    limit: Tensor


class Chosen(NamedTuple):
    """The rows of a block that become centers.

    Attributes:
        slots: Their slots, in the order of acceptance, ``[m]`` int64.
        positions: Their positions among all rows, ``[m]`` int64.
        gains: As in `Accepted`, ``[m]`` float64.
        number: As in `Accepted`, ``[]`` int64.
        rows: Their factors ``[m]``, if other processes hold some of them; None otherwise.
    """

    slots: Tensor
    positions: Tensor
    gains: Tensor
    number: Tensor
    rows: Factors | None = None


class Backend(ABC):
    """Base class of the back ends; each module defines one subclass and its ``BACKEND`` instance.

    Attributes:
        name: Name in configs, metadata and messages.
        package: Python package that has to be installed; the pip extra has the same name.
        block_limit: Largest number of candidates that k-means++ draws at once from a pool of fewer
            than 200,000 rows.
        block_limit_large: The same for larger pools, where a pass over all rows costs more.
        picks_farthest: Whether `pick_farthest` is implemented.
        compact_below_large: Issued rows of a pool of 200,000 rows or more are dropped when at most
            this share of the listed rows remains; of a smaller pool, when half of them remain.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    block_limit: ClassVar[int] = 512
    block_limit_large: ClassVar[int] = 2048
    picks_farthest: ClassVar[bool] = False
    compact_below_large: ClassVar[float] = 0.5

    def not_installed(self) -> str | None:
        """Returns how to install the back end, or None if it is installed."""
        if self.package is None or find_spec(self.package) is not None:
            return None
        return f"is not installed; pip install 'lightning-badge[{self.package}]'"

    def broken(self) -> str | None:
        """Returns why the installed back end does not work on this machine, or None if it does."""
        return None

    @abstractmethod
    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Returns why the back end cannot compute and how to fix that, or None if it can.

        Args:
            device: Device of the pool.
            dtype: Dtype of the embeddings.
        """

    def preference(self, device: torch.device, n: int) -> int:  # noqa: ARG002
        """Returns a priority for a pool of ``n`` rows: ``auto`` takes the highest one above 0."""
        return 0

    def threads_for(self, n: int) -> AbstractContextManager[None]:  # noqa: ARG002
        """Returns a context with as many threads of torch as blocks of ``n`` rows are worth."""
        return nullcontext()

    def embed(self, penultimate: Tensor, logits: Tensor, *, loss: Loss) -> tuple[Tensor, Tensor]:
        """Returns the loss gradient at the hallucinated label, and squared embedding norms.

        Args:
            penultimate: Activations that enter the head, ``[n, h]``.
            logits: The head's output, ``[n, c]``; ``-inf`` marks a masked class.
            loss: The loss that is differentiated.

        Returns:
            ``logit_grad`` ``[n, c]``, float64 if ``logits`` are float64, else float32, and
            ``|logit_grad|^2 |penultimate|^2`` ``[n]`` in float64.
        """
        if logits.dtype != torch.float64:
            logits = logits.float()
        factors = Factors.of(logit_grad(logits, loss), penultimate)
        return factors.logit_grad, factors.sq_norm

    def row_order(self, rows: Factors, positions: Tensor) -> Tensor:
        """Returns an order ``[r]`` of ``positions`` ``[r]`` that lets `update` prune most pairs.

        Pruning works on groups of adjacent rows. The default order is by norm.
        """
        return torch.argsort(rows.sq_norm[positions], stable=True)

    def arrange(self, rows: Factors, positions: Tensor, before: Any = None) -> Any:  # noqa: ARG002
        """Returns what helps `update` with these ``positions`` ``[r]``; None for nothing.

        Called after the rows were sorted, once for many blocks.

        Args:
            rows: All rows, ``[n]``.
            positions: The rows that later updates are for.
            before: What the last call for the same pool returned.
        """
        return None

    @abstractmethod
    def update(
        self,
        min_sq_dist: Tensor,
        rows: Factors,
        positions: Tensor,
        centers: Factors,
        *,
        signed: bool = True,
        prune: bool = True,
        number: Tensor | None = None,
        starts: Tensor | None = None,
        arranged: Any = None,
    ) -> Work:
        """Lowers ``min_sq_dist`` in place to each row's squared distance to its nearest center.

        Args:
            min_sq_dist: Current values ``[r]`` float64; ``inf`` before the first center.
            rows: All rows, ``[n]``.
            positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
            centers: ``m`` centers in any order. A row equal to one of them gets exactly 0.
            signed: Whether an inner product of two rows' activations may be negative; the bounds
                are tighter if not.
            prune: Whether to skip pairs that bounds rule out; otherwise every pair is multiplied.
            number: Use only the first ``number`` centers, ``[]`` int64; None uses all of them.
            starts: Index of the first center that each row has not been compared with, ``[r]``
                int64; None means 0. A back end may ignore it and compare with all centers.
            arranged: What `arrange` returned for these rows and positions.
        """

    def with_centers(
        self,
        min_sq_dist: Tensor,
        rows: Factors,
        positions: Tensor,
        slots: Tensor,
        *,
        signed: bool = True,
        prune: bool = True,
        number: Tensor | None = None,
        arranged: Any = None,
    ) -> tuple[Tensor, Work]:
        """Returns ``min_sq_dist`` as it will be with additional centers, and the cost.

        The distances of the new centers are set to 0 first, so their pairs are skipped.

        Args:
            min_sq_dist: Current values ``[r]`` float64; not changed.
            rows: All rows, ``[n]``.
            positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
            slots: Indices into ``positions`` of the rows that become centers, ``[m]`` int64.
            signed: As in `update`.
            prune: As in `update`.
            number: How many entries of ``slots`` are valid, as in `Accepted`; None: all.
            arranged: As in `update`.
        """
        min_sq_dist = min_sq_dist.clone()
        none = torch.zeros_like(slots[:1], dtype=torch.bool) if number is None else number == 0
        min_sq_dist[slots] = min_sq_dist[slots].where(none.to(slots.device), 0.0)
        centers = rows.take(positions[slots])
        work = self.update(
            min_sq_dist,
            rows,
            positions,
            centers,
            signed=signed,
            prune=prune,
            number=number,
            arranged=arranged,
        )
        return min_sq_dist, work

    def mass(self, min_sq_dist: Tensor, n: int, order: Tensor | None = None) -> Mass:
        """Returns the sampling masses of all slots; see `Mass.of`."""
        return Mass.of(min_sq_dist, n, order)

    def draw(self, mass: Mass, uniforms: Tensor, min_sq_dist: Tensor, positions: Tensor) -> Drawn:
        """Draws a block of candidates with probability proportional to their masses.

        Args:
            mass: The masses of the slots; the result is meaningless if their total is 0.
            uniforms: Uniform numbers in [0, 1) for the draws and for the limits, ``[2, b]``
                float64.
            min_sq_dist: Squared distances to the nearest center, ``[r]`` float64.
            positions: Positions of the slots, ``[r]`` int64.
        """
        slots, weights = mass.draw(uniforms[0])
        return Drawn(slots, positions[slots], min_sq_dist[slots], uniforms[1] * weights)

    def choose(
        self,
        mass: Mass,
        uniforms: Tensor,
        min_sq_dist: Tensor,
        rows: Factors,
        positions: Tensor,
        *,
        signed: bool = True,
    ) -> Chosen:
        """Draws a block of candidates and accepts some; see `draw` and `accept`."""
        drawn = self.draw(mass, uniforms, min_sq_dist, positions)
        found = self.accept(drawn.sq_dist, drawn.limit, rows, drawn.positions, signed=signed)
        which = found.candidates
        return Chosen(drawn.slots[which], drawn.positions[which], found.gains, found.number)

    def report(self, chosen: Chosen, before: Mass, after: Mass) -> Tensor:
        """Returns in one tensor what the host has to know of a block.

        Args:
            chosen: ``m`` rows.
            before: The masses before the block.
            after: The masses after it.

        Returns:
            ``[3 + 2 m]`` float64: the total masses before and after, the number of valid entries,
            the positions and the gains.
        """
        parts = (before.value, after.value, chosen.number.to(chosen.slots.device), *chosen[1:3])
        return torch.cat([part.double().flatten() for part in parts])

    @abstractmethod
    def accept(
        self,
        sq_dist: Tensor,
        limit: Tensor,
        rows: Factors,
        positions: Tensor,
        *,
        signed: bool = True,
    ) -> Accepted:
        """Accepts, in order, each candidate whose squared distance still exceeds its limit.

        An accepted candidate becomes a center for the candidates after it.

        This is rejection sampling: a candidate drawn with probability proportional to a weight and
        accepted with probability (current squared distance) / weight has the distribution of
        sequential k-means++. Its limit is a uniform number in [0, 1) times the weight.

        Args:
            sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
            limit: Limit of each candidate, a squared distance, ``[b]`` float64.
            rows: All rows, ``[n]``.
            positions: The candidates, ``[b]`` int64; a position may repeat.
            signed: As in `update`.
        """

    def herding(
        self, rows: GridRows, falloff: float, weights: Tensor, counters: HerdingCounters
    ) -> Herding:
        """Returns an object that picks rows greedily by weighted similarity; see `Herding`."""
        return DenseHerding(rows, falloff, weights, counters)

    def pick_farthest(
        self,
        min_sq_dist: Tensor,  # noqa: ARG002
        cutoff: Tensor,  # noqa: ARG002
        rows: Factors,  # noqa: ARG002
        positions: Tensor,  # noqa: ARG002
    ) -> Accepted:
        """Picks the farthest candidate and updates the distances of the others, repeatedly.

        Stops when the largest remaining squared distance is not above ``cutoff``. Implemented only
        if ``picks_farthest`` is True. Runs on the device without a host sync.

        Args:
            min_sq_dist: Squared distance to the nearest center, ``[b]`` float64; lowered in place,
                0 for picked candidates.
            cutoff: A squared distance ``[]`` float64, 0 or more.
            rows: All rows, ``[n]``, float32.
            positions: The candidates, ``[b]`` int64; among equally distant ones the first is
                picked.
        """
        raise RuntimeError(f"back end {self.name!r} does not implement pick_farthest")
