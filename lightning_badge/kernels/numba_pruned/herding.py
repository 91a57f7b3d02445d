"""Herding on the CPU: tiles of bounds, lists of the pairs that matter, and a heap of bounds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_badge.kernels.herding import Herding, HerdingCounters, Picked
from lightning_badge.kernels.numba_pruned import herding_lists as lists
from lightning_badge.kernels.numba_pruned import herding_tiles as tiles
from lightning_badge.kernels.numba_pruned.threads import in_threads, n_threads
from lightning_badge.kernels.similarity import ONE, SQUARINGS, GridRows

# Candidates whose columns are computed together, and pairs that are kept (8 bytes each).
AT_ONCE = 96
KEPT = 1 << 26
TILE = 96
CHUNK = 4096
# float32 bounds of squared distances are used if their error in units of sigma^2 is smaller.
LARGEST_SLACK = 0.05
# Errors of squared distances in units of sigma^2 that fewer coordinates may cause on average: in
# the bounds of all gains, and in the choice of the pairs whose similarity is computed. Products of
# more than LARGEST_SHARE of the coordinates would save too little.
FOR_BOUNDS, FOR_COLUMNS = 0.02, 0.25
LARGEST_SHARE = 0.7
# Rows from which the principal axes are computed.
SAMPLE = 4096

Array = npt.NDArray[Any]


class PrunedHerding(Herding):
    """Keeps, of each column, the pairs in which the candidate is nearer than any center."""

    def __init__(
        self, rows: GridRows, falloff: float, weights: Tensor, counters: HerdingCounters
    ) -> None:
        super().__init__(rows, falloff, weights, counters)
        self._coordinates, self._sq_norms = rows.coordinates.numpy(), rows.sq_norm.numpy()
        largest = float(self._sq_norms.max(initial=0.0)) * tiles.STEP**2
        slack = 2.0 * (rows.coordinates.shape[1] + 16) * 2.0**-24 * max(largest, 1e-30)
        self._falloff = falloff / tiles.STEP**2  # for coordinates of about 1
        is_exact_enough = slack * self._falloff * 2.0**SQUARINGS < LARGEST_SLACK
        self._dtype = np.dtype(np.float32 if is_exact_enough else np.float64)
        self._slack = slack if is_exact_enough else 0.0
        self._basis, self._spectrum = self._principal_axes()
        self._coarse = self._reduced(FOR_COLUMNS)
        self.forget()

    def forget(self) -> None:
        """See `Herding.forget`."""
        n = len(self.rows)
        self._summands = self.weights.nonzero().squeeze(1).numpy()
        self._summed = self._subset(self._coarse, self._summands)
        self._begin, self._length = np.full(n, -1), np.zeros(n, np.int64)
        capacity = min(KEPT, (n + AT_ONCE) * max(len(self._summands), 1))
        self._kept_row = np.empty(capacity, np.int32)
        self._kept_value = np.empty(capacity, np.int32)
        self._end = 0

    def bounds_of(self, best: Tensor, candidates: Tensor, summands: Tensor) -> Tensor:
        """See `Herding.bounds_of`."""
        same = candidates is summands
        fine = self._reduced(FOR_BOUNDS)
        left = self._side(fine, best, candidates)
        right = left if same else self._side(fine, best, summands)
        n_left, n_right = len(candidates), len(summands)
        starts = range(0, n_left, TILE)
        threads = n_threads()

        def work(thread: int) -> Array:
            gains = np.zeros(n_left)
            other_gains = gains if same else np.zeros(n_right)
            # Zigzag, so that the threads get tiles with equally many partners.
            for turn, i in enumerate(starts):
                if min(turn % (2 * threads), 2 * threads - 1 - turn % (2 * threads)) != thread:
                    continue
                i_stop = min(i + TILE, n_left)
                for j in range(i if same else 0, n_right, TILE):
                    into = np.zeros(n_right) if same and j == i else other_gains
                    tiles.add_bounds(
                        *left, i, i_stop, *right, j, min(j + TILE, n_right),
                        *self._scales(), gains, into,
                    )  # fmt: skip
            return gains

        total = sum(in_threads(work, range(threads)))
        bounds = np.ceil(total * (ONE * tiles.RELATIVE)).astype(np.int64)
        return torch.from_numpy(bounds + (bounds > 0))

    def pick(self, best: Tensor, bounds: Tensor, at_most: int) -> Picked:
        """See `Herding.pick`."""
        after = bounds.numpy().copy()
        local = best.numpy()[self._summands]
        limits = tiles.limit_of(local.astype(np.float64), self.falloff)
        weights = self.weights.numpy()[self._summands]
        heap = np.flatnonzero(after > 0)
        keys = after[heap]
        lists.heapify(keys, heap)
        keys, heap = np.append(keys, np.zeros(1, np.int64)), np.append(heap, 0)
        counts = np.array([len(heap) - 1, 0, 0])
        exact_at = np.full(len(after), -1)
        picks, gains = np.empty(at_most, np.int64), np.empty(at_most, np.int64)
        missing = np.empty(self._at_once(), np.int64)
        kept = self._begin, self._length
        while True:
            needed, total = lists.advance(
                keys, heap, counts, after, exact_at, *kept, self._kept_row, self._kept_value,
                local, limits, weights, self.falloff, picks, gains, missing,
            )  # fmt: skip
            if not needed:
                break
            self._compute(missing[:total], after, local, limits, weights)
            exact_at[missing[:total]] = counts[1]
            counts[2] += total
            for c in missing[:needed]:
                lists.push(keys, heap, counts[0], after[c], c)
                counts[0] += 1
        self.counters.evaluations += int(counts[2])
        best = best.clone()
        best[torch.from_numpy(self._summands)] = torch.from_numpy(local)
        m = int(counts[1])
        picked = torch.from_numpy(picks[:m]), torch.from_numpy(gains[:m])
        return Picked(*picked, best, torch.from_numpy(after))

    def _compute(
        self, candidates: Array, bounds: Array, best: Array, limits: Array, weights: Array
    ) -> None:
        """Computes the columns of candidates and writes their gains into ``bounds``."""
        rows, norms = self._summed
        panel = np.ascontiguousarray(self._coarse[0][candidates].T)
        half = self._coarse[1][candidates] * self._dtype.type(0.5)
        scaled = limits * tiles.STEP**2

        def work(start: int) -> tuple[Any, ...]:
            stop = min(start + CHUNK, len(best))
            size = (stop - start) * len(candidates)
            pairs = (np.empty(size, np.int16), np.empty(size, np.int32), np.empty(size, np.int32))
            m = tiles.columns(
                rows, norms, self._coordinates, self._sq_norms, self._summands, scaled, best,
                start, stop, panel, half, self._slack, candidates, self.falloff, *pairs,
            )  # fmt: skip
            return tuple(part[:m].copy() for part in pairs)

        chunks: list[Any] = in_threads(work, range(0, len(best), CHUNK))
        sizes = sum(np.bincount(chunk[0], minlength=len(candidates)) for chunk in chunks)
        self._make_room(int(np.sum(sizes)), bounds, best, weights)
        ends = self._end + np.cumsum(sizes)
        self._begin[candidates] = ends - sizes
        self._length[candidates] = sizes
        cursor = self._begin[candidates]
        for chunk in chunks:
            of_candidate, of_row, values = chunk
            lists.store(of_candidate, of_row, values, cursor, self._kept_row, self._kept_value)
        self._end = int(ends[-1])
        lists.evaluate_all(
            candidates, self._begin, self._length, self._kept_row, self._kept_value, best, weights,
            bounds,
        )  # fmt: skip
        self.counters.columns += len(candidates)

    def _make_room(self, size: int, bounds: Array, best: Array, weights: Array) -> None:
        """Drops irrelevant pairs, then columns of small bounds, until ``size`` pairs fit."""
        if self._end + size <= len(self._kept_row):
            return
        self._begin[bounds < 0] = -1
        while True:
            kept = np.flatnonzero(self._begin >= 0)
            by_begin = kept[np.argsort(self._begin[kept], kind="stable")]
            self._end = lists.collect(
                by_begin, self._begin, self._length, self._kept_row, self._kept_value, best, weights
            )
            if self._end + size <= len(self._kept_row) // 2 or not len(kept):
                return
            smallest = np.argsort(bounds[kept], kind="stable")[: -(-len(kept) // 2)]
            self._begin[kept[smallest]] = -1

    def _at_once(self) -> int:
        """Returns how many columns are computed together: all of their pairs must fit."""
        return max(1, min(AT_ONCE, len(self._kept_row) // (2 * max(len(self._summands), 1))))

    def _principal_axes(self) -> tuple[Array, Array]:
        """Returns orthonormal axes ``[h, h]`` by falling variance, and what is left after each.

        They come from an even sample of the rows. What is left is the mean squared norm of the
        part of a row outside the first axes.
        """
        step = max(1, len(self.rows) // SAMPLE)
        sample = self._coordinates[::step].astype(np.float64) * tiles.STEP
        spectrum, axes = np.linalg.eigh(sample.T @ sample / max(len(sample), 1))
        left = np.cumsum(np.clip(spectrum, 0.0, None))[::-1]
        return np.ascontiguousarray(axes[:, ::-1]), np.append(left[1:], 0.0)

    def _reduced(self, tolerance: float) -> tuple[Array, Array]:
        """Returns rows with fewer coordinates, and their squared norms.

        The last coordinate is the norm of what the others leave out, so that by the Cauchy-Schwarz
        inequality no product is smaller than that of the complete rows, and no squared distance
        larger. They are off by ``tolerance`` times ``sigma^2`` on average.
        """
        allowed = tolerance / (2.0 * self._falloff * 2.0**SQUARINGS)
        q = int(np.argmax(self._spectrum <= allowed)) + 1
        n, h = self._coordinates.shape
        norms = (self._sq_norms * tiles.STEP**2).astype(self._dtype)
        if self._dtype == np.float64 or q > LARGEST_SHARE * h:
            rows = np.zeros((n + tiles.ROWS, -(-h // 4) * 4), self._dtype)
            np.multiply(self._coordinates, tiles.STEP, out=rows[:n, :h], casting="unsafe")
            return rows, norms
        rows = np.zeros((n + tiles.ROWS, -(-(q + 1) // 4) * 4), self._dtype)
        for start in range(0, n, CHUNK):
            part = slice(start, min(start + CHUNK, n))
            complete = self._coordinates[part].astype(np.float64) * tiles.STEP
            reduced = complete @ self._basis[:, :q]
            left = (complete * complete).sum(axis=1) - (reduced * reduced).sum(axis=1)
            rows[part, :q] = reduced
            rows[part, q] = np.sqrt(np.clip(left, 0.0, None) + 1e-12) * (1.0 + 1e-6)
        return rows, norms

    def _subset(self, rows_and_norms: tuple[Array, Array], which: Array) -> tuple[Array, Array]:
        """Returns the rows at positions ``which``, padded for the kernels, and their norms."""
        rows, norms = rows_and_norms
        if len(which) == len(norms):
            return rows, norms
        padding = np.zeros((tiles.ROWS, rows.shape[1]), rows.dtype)
        return np.concatenate([rows[which], padding]), norms[which]

    def _side(
        self, rows_and_norms: tuple[Array, Array], best: Tensor, positions: Tensor
    ) -> tuple[Array, Array, Array, Array]:
        """Returns rows, norms, similarities and weights of a side of `add_bounds`."""
        which = positions.numpy()
        rows, norms = self._subset(rows_and_norms, which)
        share = best.numpy()[which].astype(self._dtype) / self._dtype.type(ONE)
        return rows, norms, share, self.weights.numpy()[which].astype(self._dtype)

    def _scales(self) -> tuple[Any, Any]:
        return self._dtype.type(self._falloff), self._dtype.type(self._slack)
