"""Targets that stand for an unknown label: a negative class, None, NaN or an empty text."""

import math
from collections.abc import Sequence
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.sample_ids import SampleId, name_ids


def is_placeholder(target: Any) -> bool:
    """Whether a target says that the label is unknown.

    A float, as in regression, is one only if it is NaN; a list is one if each entry is -1 or NaN.
    Targets of two and more dimensions, such as masks, are none.

    Example:
        >>> import torch
        >>> is_placeholder(torch.tensor(-1)), is_placeholder(0), is_placeholder([-1.0, -1.0])
        (True, False, True)
    """
    if getattr(target, "ndim", 0) > 1:
        return False
    plain = target.tolist() if hasattr(target, "tolist") else target
    if isinstance(plain, list | tuple):
        return bool(plain) and all(entry == -1 or is_placeholder(entry) for entry in plain)
    if isinstance(plain, float):
        return math.isnan(plain)
    return plain is None or plain == "" or (isinstance(plain, int) and plain < 0)


def no_label(ids: Sequence[SampleId], key: int | str, target: Any) -> LabelError:
    """Returns the error that samples are to be labeled, but nobody gave their labels.

    Args:
        ids: The samples.
        key: Entry of the target in an item.
        target: The placeholder of the first of them.
    """
    shown = " ".join(repr(target).split())[:60]
    return LabelError(
        f"label: expected labels for {name_ids(ids)}, which have none in the data set "
        f"(target_key={key!r} holds the placeholder {shown}); pass label(ids, labels) or a "
        "mapping of ids to labels"
    )
