"""The `Backend` protocol: computes embeddings, distances and accepted candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import Loss, logit_grad


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


class Backend(ABC):
    """Base class of the back ends; each module defines one subclass and its ``BACKEND`` instance.

    Attributes:
        name: Name in configs, metadata and messages.
        package: Python package that has to be installed; the pip extra has the same name.
        block_limit: Largest number of candidates that k-means++ draws at once from a pool of fewer
            than 200,000 rows.
        block_limit_large: The same for larger pools, where a pass over all rows costs more.
        picks_farthest: Whether `pick_farthest` is implemented.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    block_limit: ClassVar[int] = 512
    block_limit_large: ClassVar[int] = 2048
    picks_farthest: ClassVar[bool] = False

    def not_installed(self) -> str | None:
        """Returns how to install the back end, or None if it is installed."""
        if self.package is None or find_spec(self.package) is not None:
            return None
        return f"is not installed; pip install 'lightning-badge[{self.package}]'"

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
        """

    @abstractmethod
    def accept(
        self, sq_dist: Tensor, limit: Tensor, candidates: Factors, *, signed: bool = True
    ) -> Accepted:
        """Accepts, in order, each candidate whose squared distance still exceeds its limit.

        An accepted candidate becomes a center for the candidates after it.

        This is rejection sampling: a candidate drawn with probability proportional to a weight and
        accepted with probability (current squared distance) / weight has the distribution of
        sequential k-means++. Its limit is a uniform number in [0, 1) times the weight.

        Args:
            sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
            limit: Limit of each candidate, a squared distance, ``[b]`` float64.
            candidates: The block, ``b`` rows.
            signed: As in `update`.
        """

    def pick_farthest(
        self,
        min_sq_dist: Tensor,  # noqa: ARG002
        cutoff: Tensor,  # noqa: ARG002
        candidates: Factors,  # noqa: ARG002
    ) -> Accepted:
        """Picks the farthest candidate and updates the distances of the others, repeatedly.

        Stops when the largest remaining squared distance is not above ``cutoff``. Implemented only
        if ``picks_farthest`` is True. Runs on the device without a host sync.

        Args:
            min_sq_dist: Squared distance to the nearest center, ``[b]`` float64; lowered in place,
                0 for picked candidates.
            cutoff: A squared distance ``[]`` float64, 0 or more.
            candidates: ``b`` rows, float32; among equally distant ones the first is picked.
        """
        raise RuntimeError(f"back end {self.name!r} does not implement pick_farthest")
