"""What a back end is: one object that computes embeddings, distances and accepted candidates."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib.util import find_spec
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.gradient import Loss, logit_grad


class Work(NamedTuple):
    """The cost of an update: rows times centers, and how many of these pairs were multiplied.

    A count that only the device knows is a tensor ``[]``.
    """

    pairs: int
    multiplied: int | Tensor


class Accepted(NamedTuple):
    """The candidates of a block that become centers.

    Attributes:
        candidates: Which of them, in order, ``[m]`` int64.
        gains: Their squared distances to the nearest center at that moment, ``[m]`` float64.
        number: How many entries count, ``[]`` int64, on the CPU where the host knows it. Entries
            beyond repeat the first one.
    """

    candidates: Tensor
    gains: Tensor
    number: Tensor

    @classmethod
    def all_of(cls, candidates: Tensor, gains: Tensor) -> Accepted:
        """Builds the result of a host that knows the number."""
        return cls(candidates, gains, torch.tensor(len(candidates)))


class Backend(ABC):
    """Computes what orderings need; a subclass and its ``BACKEND`` object are one file.

    Attributes:
        name: In configs, metadata and messages.
        package: Python package that has to be installed, which is also the name of the extra.
        block_limit: Most candidates that k-means++ draws at once from a pool of common size.
        block_limit_large: Likewise from 200,000 rows on, where a pass over all rows costs more.
        picks_farthest: Whether `pick_farthest` is implemented.
    """

    name: ClassVar[str]
    package: ClassVar[str | None] = None
    block_limit: ClassVar[int] = 512
    block_limit_large: ClassVar[int] = 2048
    picks_farthest: ClassVar[bool] = False

    def not_installed(self) -> str | None:
        """Returns how to install the back end, or None where it is installed."""
        if self.package is None or find_spec(self.package) is not None:
            return None
        return f"is not installed; pip install 'lightning-badge[{self.package}]'"

    @abstractmethod
    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Returns why it cannot compute there and how to fix that, or None where it can.

        Args:
            device: Of the pool.
            dtype: Of the embeddings.
        """

    def preference(self, device: torch.device, n: int) -> int:  # noqa: ARG002
        """Returns how well it suits a pool of ``n`` rows: ``auto`` takes the highest above 0."""
        return 0

    def embed(self, penultimate: Tensor, logits: Tensor, *, loss: Loss) -> tuple[Tensor, Tensor]:
        """Returns the loss gradient at the hallucinated label, and squared embedding norms.

        Args:
            penultimate: Activations that enter the head, ``[n, h]``.
            logits: The head's output, ``[n, c]``; ``-inf`` marks a masked class.
            loss: Whose gradient.

        Returns:
            ``logit_grad`` ``[n, c]``, float64 where ``logits`` are and else float32, and
            ``|logit_grad|^2 |penultimate|^2`` ``[n]`` in float64.
        """
        if logits.dtype != torch.float64:
            logits = logits.float()
        factors = Factors.of(logit_grad(logits, loss), penultimate)
        return factors.logit_grad, factors.sq_norm

    def row_order(self, rows: Factors, positions: Tensor) -> Tensor:
        """Returns an order ``[r]`` of ``positions`` ``[r]`` in which neighbours prune alike.

        By norm, unless a back end knows better.
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
            min_sq_dist: ``[r]`` float64, the values known so far (``inf`` where there are none).
            rows: All rows, ``[n]``.
            positions: The rows that ``min_sq_dist`` belongs to, ``[r]`` int64.
            centers: ``m`` of them, in any order. A row that equals one of them gets exactly 0.
            signed: False where no product of two rows' activations is negative: bounds are tighter.
            prune: Whether to look for pairs that cannot matter; else every pair is multiplied.
            number: How many of the centers count, the first ones, ``[]`` int64; None: all of them.
            starts: First center that each row still has to be compared with, ``[r]`` int64; None:
                from the first. A back end may compare with all.
        """

    @abstractmethod
    def accept(
        self, sq_dist: Tensor, limit: Tensor, candidates: Factors, *, signed: bool = True
    ) -> Accepted:
        """Goes through a block of candidates in order and accepts those beyond their limit.

        A candidate drawn with probability proportional to a weight and accepted with probability
        now / weight is distributed as sequential k-means++ draws it: its limit is a uniform number
        in [0, 1) times the weight.

        Args:
            sq_dist: Squared distance to the nearest center before the block, ``[b]`` float64.
            limit: Squared distance that has to be exceeded, ``[b]`` float64.
            candidates: ``b`` of them.
            signed: As in `update`.
        """

    def pick_farthest(
        self,
        now: Tensor,  # noqa: ARG002
        cutoff: Tensor,  # noqa: ARG002
        candidates: Factors,  # noqa: ARG002
    ) -> Accepted:
        """Picks the farthest candidate, updates the distances of the others, and repeats.

        Stops at the first pick whose distance is not above ``cutoff``. Only where
        ``picks_farthest`` says so; nothing leaves the device.

        Args:
            now: Squared distance to the nearest center, ``[b]`` float64; lowered in place, 0 where
                picked.
            cutoff: ``[]`` float64, 0 or more.
            candidates: ``b`` of them, float32; of equally distant ones the first is picked.
        """
        raise RuntimeError(f"back end {self.name!r} picks no farthest candidates")
