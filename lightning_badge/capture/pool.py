"""One pass of the model over the pool: what enters the classifier head, and what leaves it.

A loop of our own rather than ``trainer.predict``, which must not be called inside another loop.
Batches are converted, moved and run as Lightning's own loops do it.
"""

import inspect
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import torch
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor, nn

from lightning_badge.capture.head import find_head
from lightning_badge.capture.isolation import evaluation_mode, untouched_random_state
from lightning_badge.capture.layer_calls import LayerCall, record_calls
from lightning_badge.capture.progress import pool_progress
from lightning_badge.capture.reader import loader_generators, pool_size, read_pool
from lightning_badge.capture.rows import PoolRows
from lightning_badge.exceptions import CaptureError
from lightning_badge.sample_ids import SampleIds


@dataclass(frozen=True, eq=False)
class CapturedPool:
    """What the head took in and gave out for every sample of a pool.

    Attributes:
        sample_ids: Whose row, ``[n]``.
        penultimate: What entered the head, ``[n, h]``, in the model's precision.
        logits: What left it, ``[n, c]``.
        head_name: Name of the head in the model.
    """

    sample_ids: SampleIds
    penultimate: Tensor
    logits: Tensor
    head_name: str


class PenultimateCapture:
    """Captures what enters and leaves the head while the model runs, one batch at a time.

    The hook on the head lives inside the ``with`` alone. Compiled models run eagerly there.

    Args:
        head: The classifier head.
        name: What error messages call it.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> with PenultimateCapture(model[2]) as capture:
        ...     _ = model(torch.ones(5, 4))
        ...     penultimate, logits = capture.take()
        >>> penultimate.shape, logits.shape
        (torch.Size([5, 8]), torch.Size([5, 3]))
    """

    def __init__(self, head: nn.Module, name: str = "head") -> None:
        self._head = head
        self._name = name
        self._hook = ExitStack()
        self._calls: list[LayerCall] = []

    def __enter__(self) -> "PenultimateCapture":
        self._calls = self._hook.enter_context(record_calls({self._name: self._head}))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._hook.close()

    def take(self) -> tuple[Tensor, Tensor]:
        """Returns copies of what entered ``[b, h]`` and left ``[b, c]`` since the last call.

        Raises:
            CaptureError: The head ran never, more than once, or not from ``[b, h]`` to ``[b, c]``.
        """
        calls = self._calls.copy()
        self._calls.clear()
        if len(calls) != 1:
            raise CaptureError(
                f"head {self._name!r}: expected to run once in each batch, ran {len(calls)} times"
            )
        call = calls[0]
        if call.entered is None or call.left is None or len(call.entered) != len(call.left):
            raise CaptureError(
                f"head {self._name!r}: expected [b, h] -> [b, c] in each batch, got {call.shapes}"
            )
        return call.entered, call.left


def capture_pool(
    trainer: Trainer,
    pl_module: LightningModule,
    dataloader: Iterable[Any],
    *,
    head: str | None = None,
    sample_id_key: str | None = None,
) -> CapturedPool:
    """Runs the model once over the pool and captures what passes through its head.

    The model runs in evaluation mode without gradients. Where it overrides ``predict_step`` that is
    called, else the model itself: with the first entry of a tuple or list, with the entries of a
    dict that its ``forward`` accepts by keyword, with anything else as it comes. Afterwards modes,
    hooks and random states are as they were before, also after an exception.

    Args:
        trainer: Whose strategy, precision and progress bar to use.
        pl_module: The model, on its device.
        dataloader: The pool, in a fixed order.
        head: Name of the head; None finds it in the first batch.
        sample_id_key: Key of dict batches that holds the ids. Batches that are a `PoolBatch` tell
            the ids themselves; for all others ids are positions in the loader's data set.

    Raises:
        CaptureError: Not one row for each sample, an empty pool, a loader that shuffles.
        HeadError: The head cannot be told.
    """
    _check_runs(pl_module)
    rows = PoolRows(pool_size(dataloader))
    head_name = ""
    capture: PenultimateCapture | None = None
    with (
        untouched_random_state(*loader_generators(dataloader)),
        evaluation_mode(pl_module),
        torch.no_grad(),
        pool_progress(trainer, sized_len(dataloader)) as advance,
        ExitStack() as hooks,
    ):
        for batch_idx, (ids, batch) in enumerate(read_pool(dataloader, sample_id_key)):
            run_once = partial(_run, trainer, pl_module, batch, batch_idx, sample_id_key)
            if capture is None:
                found = find_head(pl_module, run_once, head)
                head_name, penultimate, logits = found.name, found.penultimate, found.logits
                capture = hooks.enter_context(PenultimateCapture(found.module, found.name))
            else:
                run_once()
                penultimate, logits = capture.take()
            rows.append(ids, penultimate, logits)
            advance()
    return CapturedPool(*rows.finish(), head_name)


def _run(
    trainer: Trainer,
    pl_module: LightningModule,
    batch: Any,
    batch_idx: int,
    sample_id_key: str | None,
) -> Any:
    """Returns what the model makes of a batch, on the way that Lightning's own loops take."""
    batch = trainer.precision_plugin.convert_input(batch)
    batch = pl_module._on_before_batch_transfer(batch)
    batch = trainer.strategy.batch_to_device(batch)
    with trainer.precision_plugin.forward_context():
        if _overrides(pl_module, "predict_step"):
            takes_number = is_param_in_hook_signature(
                pl_module.predict_step, "batch_idx", min_args=2
            )
            return pl_module.predict_step(*((batch, batch_idx) if takes_number else (batch,)))
        inputs = batch[0] if isinstance(batch, tuple | list) else batch
        keywords = _accepted_keywords(pl_module, inputs, sample_id_key)
        return pl_module(**keywords) if keywords else pl_module(inputs)


def _accepted_keywords(
    pl_module: LightningModule, inputs: Any, sample_id_key: str | None
) -> dict[str, Any]:
    if not isinstance(inputs, Mapping):
        return {}
    parameters = inspect.signature(pl_module.forward).parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = {parameter.name for parameter in parameters}
    return {
        key: value
        for key, value in inputs.items()
        if key != sample_id_key and (takes_any or key in names)
    }


def _check_runs(pl_module: LightningModule) -> None:
    if not _overrides(pl_module, "forward") and not _overrides(pl_module, "predict_step"):
        raise CaptureError(
            f"{type(pl_module).__name__} defines neither forward nor predict_step; one of them "
            "must run the model on a batch of the pool"
        )


def _overrides(pl_module: LightningModule, method: str) -> bool:
    # On the class: compiling puts wrappers of Lightning's own methods on the instance.
    return getattr(type(pl_module), method) is not getattr(LightningModule, method)
