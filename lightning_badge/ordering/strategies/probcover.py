"""ProbCover, arXiv 2205.11320: greedy coverage of the pool by balls of one radius.

The gain of a row is the number of rows in its ball that no chosen or labeled row covers. All gains
are computed once. A row that becomes covered lowers the gains of the rows near it, which happens to
each row once in a whole ordering. The rows of the largest gains are compared in blocks. So the
ordering equals naive greedy without a matrix of all pairs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import OrderingError
from lightning_badge.kernels import Backend
from lightning_badge.kernels.balls import counts, counts_of_all, in_any, within
from lightning_badge.kernels.similarity import GridRows
from lightning_badge.ordering.clusters import STEP, check_installed, on_the_sphere
from lightning_badge.ordering.delta import PURITY, Delta, check_delta, limit_of
from lightning_badge.ordering.registry import strategy
from lightning_badge.ordering.selector import Block, Picks, Selector
from lightning_badge.ordering.transfer import to_device

BLOCK = 256


@strategy("probcover")
def probcover(
    embedding: GradientEmbedding,
    *,
    seed: int,
    backend: Backend,
    labeled: GradientEmbedding | None = None,
    delta: Delta = "purity",
) -> Selector:
    """Picks the row whose ball covers most rows that no chosen or labeled row covers.

    Distances are those of the penultimate activations, divided by their norm. The gain is the
    number of rows that become covered. Ties go to the lowest row; when all rows are covered, the
    others follow in pool order with gain 0.

    Args:
        embedding: The pool.
        seed: Seed of the rule ``purity``.
        backend: Not used.
        labeled: Embedding of the labeled set, whose balls cover rows from the start.
        delta: Radius: a positive number, or ``purity``, the largest radius at which 95 % of the
            balls have rows of one cluster only, of as many k-means clusters as there are classes.
            ``purity`` needs scikit-learn. The radius is chosen when the first rank is computed.

    Raises:
        OrderingError: An invalid ``delta``, or scikit-learn is missing and needed.
    """
    del backend
    if check_delta(delta) == PURITY:
        check_installed()
    return BallCoverage(embedding, seed=seed, labeled=labeled, delta=delta)


class BallCoverage(Selector):
    """Greedy coverage by balls; for the arguments see `probcover`."""

    def __init__(
        self,
        embedding: GradientEmbedding,
        *,
        seed: int,
        labeled: GradientEmbedding | None,
        delta: Delta,
    ) -> None:
        super().__init__(embedding)
        self._seed, self._delta = seed, delta
        self._classes = embedding.logit_grad.shape[1]
        self._rows = on_the_sphere(embedding)
        self._labeled = self._rows.take(slice(0, 0)) if labeled is None else on_the_sphere(labeled)
        self._limit: float | None = None  # until the first rank is needed

    def metadata(self) -> dict[str, Any]:
        """See `Selector.metadata`: the radius and the rule behind it."""
        delta = None if self._limit is None else STEP * float(np.sqrt(self._limit))
        return {"delta": delta, "delta_rule": PURITY if self._delta == PURITY else "number"}

    def _next_block(self) -> Block | None:
        if not self.members.n_remaining:
            return None
        if self._limit is None:
            self._start()
        if not bool(self._uncovered.any()):
            return Block(Picks.of(self.members.remaining.nonzero().squeeze(1).cpu(), 0.0))
        return self._pick(self._limit or 0.0)

    def _pick(self, limit: float) -> Block:
        """Picks among the rows of the largest gains, whose neighbours are searched together.

        A pick is certain while its gain is above all gains outside the block, which only fall; the
        first one always is.
        """
        # A remaining row whose gain is 0 changes nothing; an uncovered row covers itself.
        active = (self.members.remaining & (self._gains > 0)).nonzero().squeeze(1)
        n = len(active)
        rows = self._rows.take(active)
        rows = GridRows(rows.coordinates.double(), rows.sq_norm)  # converted once
        gains, uncovered = self._gains[active], self._uncovered[active]
        # Distinct, and larger for the lower one of two rows of equal gains.
        places = torch.arange(n, device=active.device)
        first = (gains * n - places).topk(min(BLOCK + 1, n)).indices
        beyond = int(gains[first[BLOCK]]) * n - int(first[BLOCK]) if n > BLOCK else -n
        candidates = first[:BLOCK].sort().values
        open_rows = uncovered.nonzero().squeeze(1)
        is_near = within(rows.take(candidates), rows.take(open_rows), limit).cpu().numpy()
        places_of = candidates.cpu().numpy()
        picked, gained, covers = _greedy(is_near, places_of, n, beyond)
        covered = open_rows[to_device(covers, active.device)]
        uncovered[covered] = False
        gains -= counts(rows, rows.take(covered), limit)
        pending = {"active": active, "gains": gains, "uncovered": uncovered}
        positions = active[candidates[to_device(picked, active.device)]]
        return Block(Picks.of(positions.cpu(), gained), pending)

    def _commit(self, block: Block, n: int) -> None:
        if not block.pending:  # everything is covered
            return
        active = block.pending["active"]
        if n == len(block.picks):
            self._gains[active] = block.pending["gains"]
            self._uncovered[active] = block.pending["uncovered"]
            return
        self._rows_published(block.picks.positions[:n])

    def _rows_published(self, positions: npt.NDArray[np.int64]) -> None:
        if self._limit is None:
            return
        issued = to_device(positions, self._gains.device)
        candidates = self._uncovered.nonzero().squeeze(1)
        is_near = in_any(self._rows.take(candidates), self._rows.take(issued), self._limit)
        self._cover(candidates[is_near])

    def _cover(self, positions: Tensor) -> None:
        """Takes uncovered rows out of all gains."""
        self._uncovered[positions] = False
        self._gains -= counts(self._rows, self._rows.take(positions), self._limit or 0.0)

    def _start(self) -> None:
        """Chooses the radius and computes all gains."""
        kept = torch.from_numpy(~self.members.discarded).to(self._rows.sq_norm.device)
        self._limit = limit_of(self._delta, self._rows.take(kept), self._classes, self._seed)
        self._uncovered = kept & ~in_any(self._rows, self._chosen(), self._limit)
        self._gains = counts_of_all(self._rows, self._uncovered, self._limit)

    def _chosen(self) -> GridRows:
        """Returns the labeled and the issued rows."""
        issued = np.flatnonzero(self.members.issued)
        return self._labeled.concatenate(
            self._rows.take(to_device(issued, self._rows.sq_norm.device))
        )

    def _rows_added(
        self, embedding: GradientEmbedding, posterior: Tensor | None, first: int
    ) -> None:
        del posterior
        old, new = self._rows, on_the_sphere(embedding.take(slice(first, None)))
        self._rows = old.concatenate(new)
        if self._limit is None:
            return
        is_uncovered = ~in_any(new, self._chosen(), self._limit)
        self._gains += counts(old, new.take(is_uncovered), self._limit)
        self._uncovered = torch.cat([self._uncovered, is_uncovered])
        everything = self._rows.take(self._uncovered)
        self._gains = torch.cat([self._gains, counts(new, everything, self._limit)])

    def _rows_discarded(self, positions: npt.NDArray[np.int64]) -> None:
        if self._limit is not None:
            discarded = to_device(positions, self._gains.device)
            self._cover(discarded[self._uncovered[discarded]])

    def _pool_state(self) -> dict[str, Any]:
        if self._limit is None:
            return {"limit": None}
        return {"limit": self._limit, "gains": self._gains, "uncovered": self._uncovered}

    def _load_pool_state(self, state: dict[str, Any]) -> None:
        self._limit = state["limit"]
        if self._limit is None:
            return
        device, n = self._rows.sq_norm.device, len(self.members)
        self._gains, self._uncovered = state["gains"].to(device), state["uncovered"].to(device)
        if self._gains.shape != (n,) or self._uncovered.shape != (n,):
            raise OrderingError(
                f"state: expected {n} gains and marks, got {list(self._gains.shape)} and "
                f"{list(self._uncovered.shape)}"
            )


def _greedy(
    is_near: npt.NDArray[np.bool_], places: npt.NDArray[np.int64], n: int, beyond: int
) -> tuple[npt.NDArray[np.int64], list[int], npt.NDArray[np.int64]]:
    """Picks candidates greedily while no row outside them can be better.

    Args:
        is_near: Which uncovered rows the ball of each candidate contains, ``[b, u]``.
        places: Of the candidates among ``n`` rows, increasing, ``[b]``.
        n: Number of rows.
        beyond: The largest of ``gain * n - place`` of the rows outside.

    Returns:
        The picked candidates, their gains, and the uncovered rows that they cover.
    """
    gains = is_near.sum(axis=1)
    uncovered = np.ones(is_near.shape[1], dtype=bool)
    picked: list[int] = []
    gained: list[int] = []
    while True:
        best = int(gains.argmax())  # the lowest one of equal ones
        gain = int(gains[best])
        if not gain or gain * n - int(places[best]) <= beyond:
            break
        picked.append(best)
        gained.append(gain)
        covered = np.flatnonzero(is_near[best] & uncovered)
        uncovered[covered] = False
        gains -= is_near[:, covered].sum(axis=1)
    return np.array(picked, np.int64), gained, np.flatnonzero(~uncovered)
