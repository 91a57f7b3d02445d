"""``capture(model, loader)``: the gradient embedding of a pool, without a Trainer."""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, cast

import torch
from lightning.fabric.plugins.precision import Precision
from lightning.fabric.utilities import move_data_to_device, rank_zero_info
from lightning.fabric.wrappers import _FabricModule
from lightning.pytorch import LightningModule
from torch import nn
from torch._dynamo import OptimizedModule

from lightning_badge import arguments as check
from lightning_badge.capture.batch import check_runs, errors_in_one_line, run_batch
from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.capture.loss import check_loss, choose_loss, peek_targets
from lightning_badge.capture.pool import pass_over_pool
from lightning_badge.capture.reader import loader_generators
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import CaptureError
from lightning_badge.kernels import Loss
from lightning_badge.kernels.registry import resolve_backend
from lightning_badge.namespaces import lightning_classes


def capture(
    model: nn.Module,
    loader: Iterable[Any],
    head: str | None = None,
    *,
    loss: str = "auto",
    bias: bool = False,
    sample_id_key: EntryKey | None = None,
    device: torch.device | str | None = None,
    backend: str = "auto",
) -> GradientEmbedding:
    """Runs a model once over a pool and embeds the gradients of its head.

    The model runs in evaluation mode without gradients, as in `BadgeCallback`. A model that Fabric
    has set up runs in Fabric's precision, others in their own; ``torch.autocast`` around the call
    changes that. Modes, hooks and random states are restored, also after an exception.

    The batch transfer hooks of a LightningModule are called, and ``predict_step`` if it overrides
    that. Otherwise the model is called with the first entry of a tuple or list, with the entries of
    a dict or dataclass that ``forward`` accepts as keywords, or with the whole batch.

    Args:
        model: Any module that ends in a classifier head, on its device, or what Fabric's ``setup``
            returns for it. A compiled one runs eagerly.
        loader: The pool, unshuffled: a ``DataLoader``, also one that Fabric has set up, or any
            iterable of batches.
        head: Name of the classifier head, such as ``model.fc``; None finds it.
        loss: The loss whose gradient is embedded: ``cross_entropy``, or ``binary_cross_entropy``
            for binary and multi-label models. ``auto`` chooses from the model and its data as
            `choose_loss` does, and refuses regression.
        bias: Whether to embed the gradient of the head's bias too.
        sample_id_key: Entry of each batch that holds the sample ids: a key of dict batches, a field
            of dataclasses and named tuples, or a position in tuples. `PoolBatch` contains its ids.
            Otherwise ids are positions in the loader's data set; if that is a ``Subset``, positions
            in the data set it was taken from.
        device: Device of the batches; None for the device of the model's first parameter.
        backend: The back end that computes gradients: ``auto``, ``torch``, ``numba`` or ``triton``.

    Returns:
        One row per sample, on the model's device, or in main memory if the rows would fill more
        than half of the device's free memory.

    Raises:
        CaptureError: The head does not get one row per sample, the pool is empty, the loader
            shuffles, an iterable data set has neither ids nor a certain order, or the model is not
            on ``device``.
        HeadError: The head cannot be found, or is not linear.
        EmbeddingError: An unknown ``loss``, a regression head, or values that cannot be
            embedded.
        BadgeError: The back end is unknown or cannot compute on the device.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> embedding = capture(model, DataLoader(torch.randn(10, 4), batch_size=5))
        >>> embedding.penultimate.shape, embedding.logit_grad.shape
        (torch.Size([10, 8]), torch.Size([10, 3]))
    """
    bias = check.flag("bias", bias, error=CaptureError)
    check.instance("model", model, nn.Module, "a torch module", error=CaptureError)
    resolve_backend(backend, _device_of(_unwrapped(model)[0], device))
    captured, chosen = capture_logits(
        model, loader, head, loss=loss, sample_id_key=sample_id_key, device=device
    )
    rank_zero_info(f"capture: sample ids are {captured.id_source}")
    return captured.embedding(loss=chosen, bias=bias, backend=backend)


def check_capture(model: Any, loader: Any, head: Any, sample_id_key: Any) -> None:
    """Raises a CaptureError for an argument of another type than `capture` takes."""
    check.instance("model", model, nn.Module, "a torch module", error=CaptureError)
    check.instance("loader", loader, Iterable, "a loader of the pool", error=CaptureError)
    if head is not None:
        check.text("head", head, error=CaptureError)
    if sample_id_key is not None and not isinstance(sample_id_key, str):
        check.integer("sample_id_key: a name, or", sample_id_key, error=CaptureError)


def capture_logits(
    model: nn.Module,
    loader: Iterable[Any],
    head: str | None = None,
    *,
    loss: str = "auto",
    sample_id_key: EntryKey | None = None,
    device: torch.device | str | None = None,
) -> tuple[CapturedPool, Loss]:
    """Runs a model once over a pool, as `capture` does, and keeps what enters and leaves its head.

    Args:
        model: As in `capture`, and so are the other arguments.
        loader: The pool.
        head: Name of the classifier head.
        loss: The model's loss, or ``auto``.
        sample_id_key: Entry of each batch that holds the sample ids.
        device: Device of the batches.

    Returns:
        The rows, and the loss that was given or chosen.

    Raises:
        CaptureError: As in `capture`.
        HeadError: As in `capture`.
        EmbeddingError: An unknown ``loss``, or a regression head.
    """
    check_loss(loss)
    check_capture(model, loader, head, sample_id_key)
    model, run = run_alone(model, sample_id_key, device)
    captured = pass_over_pool(model, loader, run, head=head, sample_id_key=sample_id_key)
    if loss == "auto":
        with untouched_random_state(*loader_generators(loader)):
            targets = peek_targets(loader, sample_id_key)
        return captured, choose_loss(model, captured.logits.shape[1], targets).name
    return captured, cast(Loss, loss)


def run_alone(
    model: nn.Module,
    sample_id_key: EntryKey | None = None,
    device: torch.device | str | None = None,
) -> tuple[nn.Module, Callable[[Any, int], Any]]:
    """Returns a model without wrappers, and a function that runs it on a batch without a Trainer.

    Args:
        model: As in `capture`.
        sample_id_key: Entry of each batch that holds the sample ids.
        device: Device of the batches.

    Raises:
        CaptureError: The model is not on ``device``, or cannot be run.
    """
    model, precision = _unwrapped(model)
    check_runs(model)
    target = _device_of(model, device)
    move = _mover(model, target)

    def run(batch: Any, batch_idx: int) -> Any:
        batch = move(batch)
        with errors_in_one_line(model, batch, batch_idx):
            if precision is None:
                return run_batch(model, batch, batch_idx, sample_id_key)
            with precision.forward_context():
                return run_batch(model, precision.convert_input(batch), batch_idx, sample_id_key)

    return model, run


def precision_of(model: nn.Module, device: torch.device | str | None = None) -> str:
    """Returns in words what a model computes in without a Trainer, beside its weights' dtype."""
    model, precision = _unwrapped(model)
    kind = _device_of(model, device).type
    cast_to = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    own = "" if precision is None else f"{type(precision).__name__} {precision.precision}"
    return f"{own} autocast {cast_to}".strip() if cast_to else own


def _unwrapped(model: nn.Module) -> tuple[nn.Module, Precision | None]:
    """Returns a model without the wrappers of ``torch.compile`` and Fabric.

    The wrappers have another signature, and methods of the model cannot be called through that of
    Fabric. The second value is Fabric's precision, None without Fabric.
    """
    precision: Precision | None = None
    while isinstance(model, _FabricModule | OptimizedModule):
        if isinstance(model, _FabricModule):
            precision, model = model._strategy.precision, model.module
        else:
            model = model._orig_mod
    return model, precision


def _mover(model: nn.Module, device: torch.device) -> Callable[[Any], Any]:
    """Returns a function that moves a batch to a device, by the model's own hooks if it has any."""
    if not isinstance(model, lightning_classes("LightningModule")):
        return lambda batch: move_data_to_device(batch, device)
    module = cast(LightningModule, model)
    return lambda batch: module._apply_batch_transfer_handler(
        module._on_before_batch_transfer(batch), device=device
    )


def _device_of(model: nn.Module, wanted: torch.device | str | None) -> torch.device:
    tensors = chain(model.parameters(), model.buffers())
    devices = list(dict.fromkeys(tensor.device for tensor in tensors))
    if wanted is None:
        return devices[0] if devices else torch.device("cpu")
    target = torch.device(wanted)
    fits = [d for d in devices if d.type == target.type and target.index in (None, d.index)]
    if devices and not fits:
        raise CaptureError(
            f"device={str(wanted)!r}: the model is on {', '.join(map(str, devices))}; move it "
            f"there first, with model.to({str(wanted)!r})"
        )
    return fits[0] if fits else target
