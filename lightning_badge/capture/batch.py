"""Runs a model on a batch of its pool: which method is called, with which entries."""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeGuard

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import nn

from lightning_badge.capture.entries import EntryKey, model_input, named_entries
from lightning_badge.exceptions import BadgeError, CaptureError
from lightning_badge.namespaces import lightning_classes


def check_runs(model: nn.Module) -> None:
    """Raises a CaptureError if a model has neither ``forward`` nor ``predict_step``."""
    if not _overrides_forward(model) and not _overrides_predict_step(model):
        raise CaptureError(
            f"{type(model).__name__} defines neither forward nor predict_step; one of them must "
            "run the model on a batch of the pool"
        )


def run_batch(
    model: nn.Module, batch: Any, batch_idx: int, sample_id_key: EntryKey | None = None
) -> Any:
    """Returns what a model returns for a batch that is on its device.

    Calls ``predict_step`` if a LightningModule overrides it, otherwise the model itself: with the
    first entry of a tuple or list, with the entries of a dict or dataclass that ``forward`` accepts
    as keywords, or with the whole batch.

    Args:
        model: The model.
        batch: A batch of the pool.
        batch_idx: Number of the batch.
        sample_id_key: Entry that holds the sample ids; ``forward`` does not get it.

    Example:
        >>> import torch
        >>> run_batch(nn.Flatten(), [torch.ones(2, 3, 4), torch.zeros(2)], 0).shape
        torch.Size([2, 12])
    """
    if _overrides_predict_step(model):
        takes_number = is_param_in_hook_signature(model.predict_step, "batch_idx", min_args=2)
        return model.predict_step(*((batch, batch_idx) if takes_number else (batch,)))
    inputs = model_input(batch, sample_id_key)
    keywords = _accepted_keywords(model, inputs, sample_id_key)
    return model(**keywords) if keywords else model(inputs)


def _accepted_keywords(
    model: nn.Module, inputs: Any, sample_id_key: EntryKey | None
) -> dict[str, Any]:
    entries = named_entries(inputs)
    if entries is None:
        return {}
    parameters = inspect.signature(model.forward).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}
    return {
        name: entry
        for name, entry in entries.items()
        if name != sample_id_key and (takes_any or name in names)
    }


# checked on the class: compiling puts wrappers of Lightning's own methods on the instance
def _overrides_forward(model: nn.Module) -> bool:
    bases: Any = (nn.Module, *lightning_classes("LightningModule"))
    return type(model).forward not in [base.forward for base in bases]


def _overrides_predict_step(model: nn.Module) -> TypeGuard[LightningModule]:
    bases: Any = lightning_classes("LightningModule")
    if not isinstance(model, bases):
        return False
    own: Any = type(model)
    return own.predict_step not in [base.predict_step for base in bases]


@contextmanager
def errors_in_one_line(model: nn.Module, batch: Any, batch_idx: int) -> Iterator[None]:
    """Replaces an error of a model on a batch by one line that says how the model was called.

    Args:
        model: The model that runs inside the context.
        batch: The batch that it runs on.
        batch_idx: Number of the batch.

    Raises:
        CaptureError: The model raised an error, which is the cause. Errors of this package and
            out-of-memory errors are not replaced.
    """
    try:
        yield
    except (BadgeError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        method = "predict_step" if _overrides_predict_step(model) else "forward"
        reason = (str(error).strip().splitlines() or [""])[0]
        raise CaptureError(
            f"{type(model).__name__}.{method} failed on batch {batch_idx} of the pool, "
            f"{_in_words(batch)}: {type(error).__name__}: {reason}; a model is run by "
            "predict_step(batch, batch_idx) where its class overrides that, else by forward with "
            "the first entry of a tuple or list, the entries of a dict that forward names, or the "
            "whole batch; define predict_step to run it in another way"
        ) from error


def _in_words(batch: Any) -> str:
    if isinstance(batch, torch.Tensor):
        return f"a tensor {list(batch.shape)}"
    if isinstance(batch, Mapping):
        return f"a dict with {', '.join(map(repr, batch))}"
    kind = type(batch).__name__
    return f"a {kind} of {len(batch)}" if isinstance(batch, tuple | list) else f"a {kind}"
