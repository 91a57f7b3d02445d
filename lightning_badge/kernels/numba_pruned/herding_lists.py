"""Compiled lists of pairs, and the heap from which herding picks rows.

The pairs that matter of a column are kept as a list. As centers are added, entries become
irrelevant and are dropped: after ``m`` picks a column has about ``n / m`` of them. So a new
evaluation of a candidate costs little.
"""

from typing import Any

import numpy as np

from lightning_badge.kernels.numba_pruned.herding_tiles import limit_of
from lightning_badge.kernels.numba_pruned.jit import jit


@jit
def store(
    of_candidate: Any, of_row: Any, values: Any, cursor: Any, kept_row: Any, kept_value: Any
) -> None:
    """Appends pairs to the lists of their candidates, which continue at ``cursor`` ``[b]``."""
    for entry in range(len(values)):
        at = cursor[of_candidate[entry]]
        kept_row[at], kept_value[at] = of_row[entry], values[entry]
        cursor[of_candidate[entry]] = at + 1


@jit
def _evaluate(
    c: Any, begin: Any, length: Any, kept_row: Any, kept_value: Any, best: Any, weights: Any
) -> Any:
    """Returns the gain of a candidate, and drops the entries that became irrelevant."""
    start, stay, gain = begin[c], 0, np.int64(0)
    for entry in range(start, start + length[c]):
        row, value = kept_row[entry], kept_value[entry]
        above = value - best[row]
        if above > 0:
            gain += above * weights[row]
            kept_row[start + stay], kept_value[start + stay] = row, value
            stay += 1
    length[c] = stay
    return gain


@jit
def evaluate_all(
    candidates: Any,
    begin: Any,
    length: Any,
    kept_row: Any,
    kept_value: Any,
    best: Any,
    weights: Any,
    bounds: Any,
) -> None:
    """Writes the gains of candidates whose columns are kept."""
    for c in candidates:
        bounds[c] = _evaluate(c, begin, length, kept_row, kept_value, best, weights)


@jit
def collect(
    by_begin: Any, begin: Any, length: Any, kept_row: Any, kept_value: Any, best: Any, weights: Any
) -> Any:
    """Moves lists together without irrelevant entries.

    Args:
        by_begin: The candidates with a list to keep, by the place where it begins.
        begin: Where each list begins, changed.
        length: Of each list, changed.
        kept_row: Changed.
        kept_value: Changed.
        best: As in `columns`.
        weights: Of the rows.

    Returns:
        The end of the last list.
    """
    end = 0
    for c in by_begin:
        _evaluate(c, begin, length, kept_row, kept_value, best, weights)
        start = begin[c]
        for entry in range(length[c]):
            kept_row[end + entry] = kept_row[start + entry]
            kept_value[end + entry] = kept_value[start + entry]
        begin[c] = end
        end += length[c]
    return end


@jit
def _before(key: Any, c: Any, other_key: Any, other: Any) -> Any:
    return key > other_key or (key == other_key and c < other)


@jit
def _sift_down(keys: Any, heap: Any, size: Any, at: Any) -> None:
    key, c = keys[at], heap[at]
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _before(keys[right], heap[right], keys[child], heap[child]):
            child = right
        if not _before(keys[child], heap[child], key, c):
            break
        keys[at], heap[at] = keys[child], heap[child]
        at = child
    keys[at], heap[at] = key, c


@jit
def heapify(keys: Any, heap: Any) -> None:
    """Orders a heap: the largest key first, the lowest row among equal ones."""
    for at in range(len(heap) // 2 - 1, -1, -1):
        _sift_down(keys, heap, len(heap), at)


@jit
def push(keys: Any, heap: Any, size: Any, key: Any, c: Any) -> None:
    """Adds a row to a heap of ``size`` rows."""
    at = size
    while at > 0:
        parent = (at - 1) // 2
        if not _before(key, c, keys[parent], heap[parent]):
            break
        keys[at], heap[at] = keys[parent], heap[parent]
        at = parent
    keys[at], heap[at] = key, c


@jit
def advance(
    keys: Any,
    heap: Any,
    counts: Any,
    bounds: Any,
    exact_at: Any,
    begin: Any,
    length: Any,
    kept_row: Any,
    kept_value: Any,
    best: Any,
    limits: Any,
    weights: Any,
    falloff: Any,
    picks: Any,
    gains: Any,
    missing: Any,
) -> Any:
    """Picks rows until enough are picked, no gain is above 0, or columns are missing.

    Args:
        keys: Upper bounds of the gains in the heap, at least ``bounds``.
        heap: The rows.
        counts: Rows in the heap, picks, evaluations; changed.
        bounds: Upper bounds of the gains, ``[n]`` int64, changed.
        exact_at: The number of picks after which each bound was exact, ``[n]``, changed.
        begin: Where the list of each candidate begins; -1 if it is not kept.
        length: Of each list.
        kept_row: The rows of all lists.
        kept_value: Their similarities.
        best: As in `columns`, changed.
        limits: In grid steps, changed.
        weights: Of the rows.
        falloff: For grid steps.
        picks: Written.
        gains: Written.
        missing: Written: candidates whose columns are needed, then likely ones.

    Returns:
        The number of missing columns that are needed, which are no longer in the heap, and of all.
    """
    needed = 0
    while counts[1] < len(picks) and counts[0] > 0 and needed < len(missing):
        c = heap[0]
        is_exact = begin[c] >= 0 and exact_at[c] == counts[1]
        if keys[0] > bounds[c]:
            keys[0] = bounds[c]
        elif bounds[c] <= 0 or (is_exact and needed):
            break
        elif is_exact:
            for entry in range(begin[c], begin[c] + length[c]):
                row = kept_row[entry]
                if kept_value[entry] > best[row]:
                    best[row] = kept_value[entry]
                    limits[row] = limit_of(best[row], falloff)
            picks[counts[1]], gains[counts[1]] = c, bounds[c]
            counts[1] += 1
            bounds[c] = -1
            keys[0] = -1
        elif begin[c] < 0:
            missing[needed] = c
            needed += 1
            counts[0] -= 1
            keys[0], heap[0] = keys[counts[0]], heap[counts[0]]
        else:
            bounds[c] = _evaluate(c, begin, length, kept_row, kept_value, best, weights)
            exact_at[c] = counts[1]
            counts[2] += 1
            keys[0] = bounds[c]
        _sift_down(keys, heap, counts[0], 0)
    total = needed
    for at in range(min(counts[0], 4 * len(missing)) if needed else 0):
        if total < len(missing) and begin[heap[at]] < 0 and bounds[heap[at]] > 0:
            missing[total] = heap[at]
            total += 1
    return needed, total
