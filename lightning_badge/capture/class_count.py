"""Checks the number of classes of the head against metrics and labels.

A model that returns an embedding, with the classifier inside its loss, ends in a linear layer too.
In that case the width of the layer disagrees with its metrics and labels.
"""

from typing import Any
from warnings import warn

import torch
from torch import Tensor, nn

from lightning_badge.capture.entries import EntryKey, entries_but_ids, named_entries

_LABEL_KEYS = ("label", "labels", "target", "targets", "y")
_COUNTS = ("num_classes", "num_labels")


class LabelRange:
    """The range of the integer labels in the batches of a pool.

    Args:
        sample_id_key: Entry of each batch that holds the ids, which are not labels.

    Attributes:
        rows: Number of labels seen.

    Example:
        >>> labels = LabelRange()
        >>> labels.see((torch.zeros(3, 5), torch.tensor([0, 4, 2])))
        >>> labels.largest
        4
    """

    def __init__(self, sample_id_key: EntryKey | None = None) -> None:
        self._sample_id_key = sample_id_key
        self._largest: Tensor | None = None
        self.rows = 0

    @property
    def largest(self) -> int | None:
        """The largest label seen; None before the first one."""
        return None if self._largest is None else int(self._largest)

    def see(self, batch: Any) -> None:
        """Reads the labels of a batch: the other entry of a pair, or a usual key of a dict."""
        labels = self._labels_of(batch)
        if labels is None or not len(labels):
            return
        # stays on the labels' device, so that no host sync is needed
        largest = labels.max()
        self._largest = largest if self._largest is None else torch.maximum(self._largest, largest)
        self.rows += len(labels)

    def _labels_of(self, batch: Any) -> Tensor | None:
        found: Any = None
        named = named_entries(batch)
        if isinstance(batch, tuple | list):
            others = entries_but_ids(batch, self._sample_id_key)
            found = others[1] if len(others) == 2 else None
        elif named is not None:
            keys = [key for key in _LABEL_KEYS if key in named and key != self._sample_id_key]
            found = named[keys[0]] if keys else None
        is_integer = isinstance(found, Tensor) and found.dtype in (torch.int32, torch.int64)
        return found if is_integer and found.ndim == 1 else None


def warn_of_metrics(model: nn.Module, name: str, c: int) -> None:
    """Warns if metrics of the model have another number of classes than its head.

    Args:
        model: The model.
        name: Name of the head that was found.
        c: Width of its output.
    """
    counts = {
        f"{type(module).__name__}({count}={value})": value
        for module in model.modules()
        if _is_metric(module)
        for count in _COUNTS
        if isinstance(value := getattr(module, count, None), int)
    }
    if counts and (2 if c == 1 else c) not in counts.values():
        _warn(name, c, f"its metric {next(iter(counts))} counts others")


def warn_of_labels(labels: LabelRange, name: str, c: int) -> None:
    """Warns if the pool's labels do not fit the head's output.

    That is the case if a label is out of range, or if fewer than half of many outputs ever occur. A
    constant label is regarded as a placeholder. A single output is not checked.

    Args:
        labels: Range of the labels of the whole pool.
        name: Name of the head that was found.
        c: Width of its output.
    """
    if c == 1 or labels.largest is None or labels.largest < 1:
        return
    many = labels.rows >= 20 * c
    if labels.largest >= c or (many and 2 * (labels.largest + 1) < c):
        _warn(name, c, f"the pool's labels go from 0 to {labels.largest}")


def _warn(name: str, c: int, evidence: str) -> None:
    warn(
        f"took {name!r} for the classifier head, which gives {c} outputs, but {evidence}; does the "
        "model return an embedding, and the loss have the classifier? Then return its logits; "
        f"head={name!r} confirms it",
        stacklevel=4,
    )


def _is_metric(module: nn.Module) -> bool:
    # by class name: torchmetrics is not required here
    return any(kind.__module__.split(".")[0] == "torchmetrics" for kind in type(module).__mro__)
