"""How a model runs on a batch of its pool: which method is called, with which entries."""

import inspect
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import nn

from lightning_badge.capture.entries import EntryKey, model_input, named_entries
from lightning_badge.exceptions import CaptureError


def check_runs(model: nn.Module) -> None:
    """Raises a CaptureError where a model has neither ``forward`` nor ``predict_step``."""
    if not _overrides_forward(model) and not _overrides_predict_step(model):
        raise CaptureError(
            f"{type(model).__name__} defines neither forward nor predict_step; one of them must "
            "run the model on a batch of the pool"
        )


def run_batch(
    model: nn.Module, batch: Any, batch_idx: int, sample_id_key: EntryKey | None = None
) -> Any:
    """Returns what a model returns for a batch that is on its device.

    Where a LightningModule overrides ``predict_step`` that is called, else the model itself: with
    the first entry of a tuple or list, with the entries of a dict or dataclass that its ``forward``
    accepts by keyword, with the whole batch where it is neither or no entry is accepted.

    Args:
        model: The model.
        batch: Of the pool.
        batch_idx: Its number.
        sample_id_key: Entry that holds the sample ids; ``forward`` does not get it.

    Example:
        >>> import torch
        >>> run_batch(nn.Flatten(), [torch.ones(2, 3, 4), torch.zeros(2)], 0).shape
        torch.Size([2, 12])
    """
    if isinstance(model, LightningModule) and _overrides_predict_step(model):
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


# On the class: compiling puts wrappers of Lightning's own methods on the instance.
def _overrides_forward(model: nn.Module) -> bool:
    return type(model).forward not in (nn.Module.forward, LightningModule.forward)


def _overrides_predict_step(model: nn.Module) -> bool:
    if not isinstance(model, LightningModule):
        return False
    return type(model).predict_step is not LightningModule.predict_step
