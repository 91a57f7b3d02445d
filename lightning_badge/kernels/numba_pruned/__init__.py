"""The back end ``numba``: compiled CPU loops that skip pairs which bounds rule out."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lightning_badge.kernels import torch_blocked
from lightning_badge.kernels.backend import Accepted, Backend, Work
from lightning_badge.kernels.factors import Factors
from lightning_badge.kernels.herding import Herding, HerdingCounters
from lightning_badge.kernels.numba_pruned import threads
from lightning_badge.kernels.similarity import GridRows

if TYPE_CHECKING:
    from lightning_badge.kernels.numba_pruned.compiled import LabelBoxes, Listed
    from lightning_badge.kernels.numba_pruned.row_tiles import RowTiles
    from lightning_badge.kernels.numba_pruned.shadows import Shadows

# For smaller pools torch finishes before numba is loaded.
LEAST_ROWS = 4096
# Pruning is tried on a sample of this many rows. It pays if at most PRUNE_BELOW of the pairs are
# multiplied: per pair, a matrix product is that much faster than a loop.
PROBE = 128
FEW_CENTERS = 8
PRUNE_BELOW = 0.1
# Tiles are used in pools of this many rows, because compiling what uses them takes seconds, and
# while so many are listed: for fewer, arranging them costs more than it saves.
TILED_POOL = 20_000
TILED_FROM = 8192
# In pools of this many rows, operations on a number a row are worth several threads.
LONG_OPERATIONS = 200_000


@dataclass(frozen=True, eq=False)
class Arranged:
    """Rows listed for many blocks; they are arranged when that first helps.

    Attributes:
        shadows: Those of all rows of the pool, which serve until rows are added.
        positions: The listed ones, ``[r]`` int64.
    """

    shadows: Shadows
    positions: Tensor

    @cached_property
    def tiles(self) -> RowTiles:
        """The rows in tiles."""
        from lightning_badge.kernels.numba_pruned.row_tiles import row_tiles

        return row_tiles(self.shadows.rows, self.positions)


class NumbaBackend(Backend):
    """Imports numba and compiles its kernels on first use."""

    name = "numba"
    package = "numba"
    block_limit = 1024
    block_limit_large = 4096

    def broken(self) -> str | None:
        """See `Backend.broken`: imports numba and compiles a small function."""
        return _fault()

    def unavailable(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """See `Backend.unavailable`: the CPU only."""
        del dtype
        return None if device.type == "cpu" else f"computes on the CPU, but the pool is on {device}"

    def preference(self, device: torch.device, n: int) -> int:
        """See `Backend.preference`: before torch if the pool is large enough."""
        return 2 if device.type == "cpu" and n >= LEAST_ROWS else 0

    def threads_for(self, n: int) -> AbstractContextManager[None]:
        """See `Backend.threads_for`: one below `LONG_OPERATIONS` rows."""
        return threads.one_torch_thread() if n < LONG_OPERATIONS else nullcontext()

    def arrange(self, rows: Factors, positions: Tensor, before: Any = None) -> Arranged | Listed:
        """See `Backend.arrange`."""
        if len(rows) < TILED_POOL or len(positions) < TILED_FROM:
            from lightning_badge.kernels.numba_pruned.compiled import Listed

            return Listed.of(rows, positions)
        from lightning_badge.kernels.numba_pruned.shadows import Shadows

        if isinstance(before, Arranged) and before.shadows.rows is rows:
            return Arranged(before.shadows, positions)
        return Arranged(Shadows(rows), positions)

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
        """See `Backend.update`; falls back to torch's matrix products if pruning does not pay."""
        del starts
        centers = centers.first(number).contiguous()
        if not len(positions) or not len(centers):
            return Work(0, 0)
        pairs = len(positions) * len(centers)
        if prune:
            from lightning_badge.kernels.numba_pruned import compiled, tile_update

            boxes = compiled.label_boxes(centers, signed=signed)
            if _pruning_pays(min_sq_dist, rows, positions, centers, boxes, signed):
                of_rows = min_sq_dist, rows, positions, centers
                if isinstance(arranged, Arranged) and len(centers) >= FEW_CENTERS:
                    tiles, shadows = arranged.tiles, arranged.shadows
                    return Work(pairs, tile_update.update(*of_rows, tiles, shadows, signed=signed))
                listed = None if isinstance(arranged, Arranged) else arranged
                multiplied = compiled.update(*of_rows, boxes, signed=signed, listed=listed)
                return Work(pairs, multiplied)
        by_norm = centers.take(torch.argsort(centers.sq_norm, stable=True))
        with threads.all_torch_threads():
            multiplied = torch_blocked.update_min_sq_dist(
                min_sq_dist, rows, positions, by_norm, prune=prune
            )
        return Work(pairs, multiplied)

    def accept(
        self,
        sq_dist: Tensor,
        limit: Tensor,
        rows: Factors,
        positions: Tensor,
        *,
        signed: bool = True,
    ) -> Accepted:
        """See `Backend.accept`."""
        from lightning_badge.kernels.numba_pruned import compiled

        return Accepted.all_of(*compiled.accept(sq_dist, limit, rows, positions, signed=signed))

    def herding(
        self, rows: GridRows, falloff: float, weights: Tensor, counters: HerdingCounters
    ) -> Herding:
        """See `Backend.herding`."""
        from lightning_badge.kernels.numba_pruned.herding import PrunedHerding

        return PrunedHerding(rows, falloff, weights, counters)


def _pruning_pays(
    min_sq_dist: Tensor,
    rows: Factors,
    positions: Tensor,
    centers: Factors,
    boxes: LabelBoxes,
    signed: bool,
) -> bool:
    """Returns whether pruning skips most pairs of a sample of the rows."""
    if len(centers) < FEW_CENTERS:
        return True
    from lightning_badge.kernels.numba_pruned import compiled

    step = max(1, len(positions) // PROBE)
    known, probe = min_sq_dist[::step].clone(), positions[::step].contiguous()
    multiplied = compiled.update(known, rows, probe, centers, boxes, signed=signed)
    return multiplied <= PRUNE_BELOW * len(probe) * len(centers)


@cache
def _fault() -> str | None:
    try:
        from lightning_badge.kernels.numba_pruned.jit import try_out

        try_out()
    except Exception as error:  # of numba, LLVM or the versions of their packages
        return f"does not work here ({type(error).__name__}: {' '.join(str(error).split())})"
    return None


BACKEND = NumbaBackend()
