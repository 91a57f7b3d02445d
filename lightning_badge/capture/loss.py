"""Whose gradient ``loss="auto"`` embeds: told from what the model and its data show of their loss.

The evidence, strongest first: loss modules and functions that the model holds, the problem type of
a Hugging Face configuration, torchmetrics, the targets of a few samples, the number of outputs.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lightning_badge.arguments import choice
from lightning_badge.capture.entries import EntryKey
from lightning_badge.exceptions import EmbeddingError
from lightning_badge.kernels import LOSSES, Loss
from lightning_badge.pool_batch import PoolBatch

Kind = Literal["cross_entropy", "binary_cross_entropy", "regression"]

_MODULES: dict[Kind, tuple[type[nn.Module], ...]] = {
    "cross_entropy": (nn.CrossEntropyLoss, nn.NLLLoss),
    "binary_cross_entropy": (nn.BCEWithLogitsLoss, nn.BCELoss, nn.MultiLabelSoftMarginLoss),
    "regression": (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss),
}
_FUNCTIONS: dict[str, Kind] = {
    "cross_entropy": "cross_entropy",
    "nll_loss": "cross_entropy",
    "binary_cross_entropy": "binary_cross_entropy",
    "binary_cross_entropy_with_logits": "binary_cross_entropy",
    "multilabel_soft_margin_loss": "binary_cross_entropy",
    "mse_loss": "regression",
    "l1_loss": "regression",
    "smooth_l1_loss": "regression",
    "huber_loss": "regression",
}
_PROBLEM_TYPES: dict[str, Kind] = {
    "single_label_classification": "cross_entropy",
    "multi_label_classification": "binary_cross_entropy",
    "regression": "regression",
}
# By the first word of a metric's name.
_METRICS: dict[str, Kind] = {
    "Multiclass": "cross_entropy",
    "Multilabel": "binary_cross_entropy",
    "Binary": "binary_cross_entropy",
    "MeanSquared": "regression",
    "MeanAbsolute": "regression",
    "R2Score": "regression",
    "PearsonCorr": "regression",
    "SpearmanCorr": "regression",
}
_TARGET_KEYS = ("labels", "label", "targets", "target", "y")
_PEEKED = 16


@dataclass(frozen=True)
class ChosenLoss:
    """A loss and why it was taken.

    Attributes:
        name: ``cross_entropy`` or ``binary_cross_entropy``.
        evidence: In words.
    """

    name: Loss
    evidence: str


def check_loss(loss: str) -> None:
    """Raises an EmbeddingError unless the loss is ``auto`` or one of `LOSSES`."""
    choice("loss", loss, ("auto", *LOSSES), error=EmbeddingError)


def choose_loss(model: nn.Module, n_outputs: int, targets: Tensor | None = None) -> ChosenLoss:
    """Chooses the loss whose gradient is embedded.

    Args:
        model: With the loss among its modules or attributes, where it holds it.
        n_outputs: Of the classifier head.
        targets: Of a few samples, ``[b]`` or ``[b, c]``; None where they are unknown.

    Raises:
        EmbeddingError: A regression head.

    Example:
        >>> model = nn.ModuleDict({"fc": nn.Linear(4, 3), "criterion": nn.BCEWithLogitsLoss()})
        >>> choose_loss(model, 3)
        ChosenLoss(name='binary_cross_entropy', evidence="BCEWithLogitsLoss 'criterion'")
    """
    sources = (
        _losses(model),
        _problem_types(model),
        _metrics(model, n_outputs),
        _of_targets(targets, n_outputs),
    )
    count = "one output" if n_outputs == 1 else f"{n_outputs} outputs"
    regression = None
    for source in sources:
        found = dict(source)
        if n_outputs == 1:
            found.pop("cross_entropy", None)  # a softmax over one output is constant
        # Beside a classifier's loss it is an auxiliary term, as of a reconstruction.
        regression = regression or found.pop("regression", None)
        if regression and n_outputs == 1 and not found:
            break
        if len(found) == 1:
            ((kind, evidence),) = found.items()
            return ChosenLoss(cast(Loss, kind), evidence)
    if regression:
        raise EmbeddingError(
            f"the head looks like regression ({count}, {regression}), and the gradient embedding "
            "needs classes; give loss='cross_entropy' or 'binary_cross_entropy' if it is a "
            "classifier"
        )
    return ChosenLoss(loss_by_count(n_outputs), f"{count}; assumed: no loss, no targets seen")


def loss_by_count(n_outputs: int) -> Loss:
    """Returns the loss of a classifier if only the number of its outputs is known."""
    return "binary_cross_entropy" if n_outputs == 1 else "cross_entropy"


def peek_targets(loader: Iterable[Any], sample_id_key: EntryKey | None = None) -> Tensor | None:
    """Returns the targets of the first samples of a loader, where that is simple to tell.

    Only data sets with items by position are read, without the loader's workers.

    Args:
        loader: The loader.
        sample_id_key: The entry of each batch that holds sample ids, which are no targets.

    Returns:
        ``[b]`` or ``[b, c]``: the second entry of a tuple or list without its sample ids, or the
        entry of a dict that is called labels, label, targets, target or y; else None.

    Example:
        >>> peek_targets(DataLoader([(0.5, 1), (0.2, 0)]))
        tensor([1, 0])
    """
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return None
    data: Any = loader.dataset
    try:
        positions = range(min(_PEEKED, len(data)))
        fetch = getattr(data, "__getitems__", None)  # as torch's own loaders ask
        items = fetch(list(positions)) if fetch else [data[position] for position in positions]
        batch = loader.collate_fn(items)
    except (LookupError, TypeError, RuntimeError):
        return None  # keys of its own, or items that this loader batches in another way
    if isinstance(batch, PoolBatch):
        return _targets_of(batch.batch, None)
    return _targets_of(batch, sample_id_key)


def _targets_of(batch: Any, sample_id_key: EntryKey | None) -> Tensor | None:
    target: Any = None
    if isinstance(batch, Mapping):
        names = (name for name in _TARGET_KEYS if name in batch and name != sample_id_key)
        target = next((batch[name] for name in names), None)
    elif isinstance(batch, tuple | list) and len(batch) > 1:
        entries = list(batch)
        if sample_id_key is not None:
            fields: tuple[str, ...] = getattr(batch, "_fields", ())
            named = isinstance(sample_id_key, str)
            del entries[fields.index(sample_id_key) if named else int(sample_id_key)]
        target = entries[1] if len(entries) > 1 else None
    return target if isinstance(target, Tensor) and target.ndim in (1, 2) else None


def _losses(model: nn.Module) -> Iterator[tuple[Kind, str]]:
    for name, module in model.named_modules():
        for kind, types in _MODULES.items():
            if isinstance(module, types):
                yield kind, f"{type(module).__name__} {name!r}"
        for attribute, value in vars(module).items():
            function: Any = value.func if isinstance(value, partial) else value
            called = getattr(function, "__name__", "") if callable(function) else ""
            if called in _FUNCTIONS:
                yield _FUNCTIONS[called], f"{called} {attribute!r}"


def _problem_types(model: nn.Module) -> Iterator[tuple[Kind, str]]:
    for module in model.modules():
        problem = getattr(getattr(module, "config", None), "problem_type", None)
        if isinstance(problem, str) and problem in _PROBLEM_TYPES:
            yield _PROBLEM_TYPES[problem], f"problem_type {problem!r} of {type(module).__name__}"


def _metrics(model: nn.Module, n_outputs: int) -> Iterator[tuple[Kind, str]]:
    for name, module in model.named_modules():
        called = type(module).__name__
        if not type(module).__module__.startswith("torchmetrics."):
            continue
        for start, kind in _METRICS.items():
            # A binary metric may measure a softmax of two classes.
            if called.startswith(start) and (start != "Binary" or n_outputs == 1):
                yield kind, f"{called} {name!r}"


def _of_targets(targets: Tensor | None, n_outputs: int) -> Iterator[tuple[Kind, str]]:
    if targets is None or not bool(targets.isfinite().all()):
        return
    is_float = targets.is_floating_point()
    values = torch.unique(targets.double())
    if len(values) < 2:
        return  # placeholders
    is_binary = bool(torch.isin(values, values.new_tensor([0.0, 1.0])).all())
    shape = f"[{', '.join(['b', *map(str, targets.shape[1:])])}]"
    if n_outputs == 1:
        if is_binary:
            yield "binary_cross_entropy", f"targets {shape} of 0 and 1"
        elif is_float:
            yield "regression", f"float targets such as {values[0]:.4g} and {values[1]:.4g}"
    elif targets.ndim == 2 and targets.shape[1] == n_outputs:
        sums = targets.double().sum(dim=1)
        is_one_of_all = bool(torch.isclose(sums, torch.ones_like(sums)).all())
        if is_binary and not is_one_of_all:
            yield "binary_cross_entropy", f"targets {shape} of 0 and 1, several or none in a row"
        elif is_one_of_all and values[0] >= 0:
            yield "cross_entropy", f"targets {shape} that sum to 1 in each row"
        elif is_float and not is_binary:
            yield "regression", f"float targets {shape} such as {values[0]:.4g}"
    elif targets.ndim == 1 and not is_float:
        yield "cross_entropy", f"targets {shape} of whole numbers"
