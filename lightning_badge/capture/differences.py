"""Whether reading the same samples twice gives other values, as random augmentation does."""

from collections.abc import Mapping
from typing import Any
from warnings import warn

import numpy as np
import torch
from torch import Tensor

# With a chance of one half for each item to stay the same, 1 of 4,096 augmented pools passes.
_COMPARED = 12


def warn_if_random(dataset: Any, n: int) -> None:
    """Warns where one of a dozen items of a data set differs between two reads.

    Args:
        dataset: A map-style data set; any other is left alone.
        n: Its size.
    """
    if not n or not hasattr(dataset, "__getitem__"):
        return
    positions = np.unique(np.linspace(0, n - 1, _COMPARED).astype(np.int64)).tolist()
    try:
        # One after the other, so that a data set that keeps its last item reads each again.
        once = [dataset[position] for position in positions]
        differing = [
            position
            for position, item in zip(positions, once, strict=True)
            if differ(item, dataset[position])
        ]
    except (LookupError, TypeError):
        return  # a data set with keys of its own, which its sampler knows
    if differing:
        warn(
            f"{len(differing)} of {len(positions)} items of the pool differ between two reads "
            f"(random augmentation?), item {differing[0]} for one; an ordering of them is of no "
            "use; give the pool a data set without augmentation",
            stacklevel=4,
        )


def differ(one: Any, other: Any) -> bool:
    """Whether two values certainly differ; values that cannot be compared do not.

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
        # Of objects that compare by identity, two reads of the same item give different ones.
        by_identity = type(one).__eq__ is object.__eq__  # type: ignore[comparison-overlap]
        is_nan = one != one
        return not by_identity and not is_nan and bool(one != other)
    except (AttributeError, TypeError, ValueError, RuntimeError):
        return False
