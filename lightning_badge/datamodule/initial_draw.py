"""Draws the initial labeled set."""

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label


def draw_initial(known: list[Label] | None, n: int, count: int, seed: int) -> npt.NDArray[np.int64]:
    """Draws the rows to label first: stratified where each has one known class, else uniformly.

    Args:
        known: The target of each row, ``[n]``; None where they are not known.
        n: Rows to draw from.
        count: Rows to draw.
        seed: Seed of the draw.

    Raises:
        LabelError: The count is negative or above n.
    """
    if not 0 <= count <= n:
        raise LabelError(f"initial_labeled: expected a count from 0 to {n}, got {count}")
    rng = np.random.default_rng(seed)
    if known is None or not all(isinstance(label, Hashable) for label in known):
        return rng.permutation(n)[:count]
    codes = {label: code for code, label in enumerate(dict.fromkeys(known))}
    return stratified_draw(np.array([codes[label] for label in known]), count, rng)


def stratified_draw(
    classes: npt.NDArray[np.int64], count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draws rows so that each class has its share of them.

    Shares are proportional to class sizes and rounded by largest remainders, with ties broken at
    random. No class is empty if ``count`` is at least the number of classes.

    Args:
        classes: The class 0..c-1 of each row, ``[n]``.
        count: Rows to draw, at most n.
        rng: Draws rows and breaks ties.

    Returns:
        Rows, ``[count]``, grouped by class.
    """
    sizes = np.bincount(classes)
    shares, remainders = np.divmod(sizes * count, len(classes))
    by_remainder = np.lexsort((rng.permutation(len(sizes)), -remainders))
    shares[by_remainder[: count - shares.sum()]] += 1
    while count >= len(sizes) and not shares.all():
        shares[shares.argmax()] -= 1
        shares[shares.argmin()] += 1
    shuffled = rng.permutation(len(classes))
    grouped = shuffled[np.argsort(classes[shuffled], kind="stable")]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return grouped[np.arange(len(classes)) - starts < np.repeat(shares, sizes)]
