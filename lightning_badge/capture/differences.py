"""Compares two reads of the same samples: random augmentation makes them differ."""

from collections.abc import Mapping
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch import Tensor

# If each item stays the same with probability 1/2, 1 of 4,096 augmented pools is missed.
_COMPARED = 12


def warn_if_random(dataset: Any, n: int) -> None:
    """Warns if one of a dozen items of a data set differs between two reads.

    Args:
        dataset: A map-style data set; others are not checked.
        n: Number of items.
    """
    if not n or not hasattr(dataset, "__getitem__"):
        return
    positions = np.unique(np.linspace(0, n - 1, _COMPARED).astype(np.int64)).tolist()
    try:
        # all items once, then again: a data set that caches its last item must read each again
        once = [dataset[position] for position in positions]
        differing = [
            position
            for position, item in zip(positions, once, strict=True)
            if differ(item, dataset[position])
        ]
    except (LookupError, TypeError):
        return  # a data set whose keys are not positions
    if differing:
        warn(
            f"{len(differing)} of {len(positions)} items of the pool differ between two reads "
            f"(random augmentation?), item {differing[0]} for one; an ordering of them is of no "
            "use; give the pool a data set without augmentation",
            stacklevel=4,
        )


def differ(one: Any, other: Any) -> bool:
    """Whether two values differ; False if they cannot be compared.

    Example:
        >>> differ((torch.zeros(2), "a"), (torch.ones(2), "a")), differ(object(), object())
        (True, False)
    """
    if isinstance(one, Mapping):
        return one.keys() != other.keys() or any(differ(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list):
        pairs = zip(one, other, strict=False)
        return len(one) != len(other) or any(differ(*pair) for pair in pairs)
    try:
        if isinstance(one, Tensor):
            return not torch.equal(one.nan_to_num(), other.nan_to_num())
        if isinstance(one, np.ndarray):
            return not np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
        # Objects that compare by identity differ between two reads of the same item.
        by_identity = type(one).__eq__ is object.__eq__  # type: ignore[comparison-overlap]
        is_nan = one != one
        return not by_identity and not is_nan and bool(one != other)
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
