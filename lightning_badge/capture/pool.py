"""One pass of the model over the pool: what enters the classifier head, and what leaves it.

The pass is a loop of its own, because ``trainer.predict`` must not be called inside another loop.
With a Trainer, batches are converted, moved and run as in Lightning's own loops.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.data import sized_len
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from lightning_badge.capture.batch import check_runs, errors_in_one_line, run_batch
from lightning_badge.capture.captured import CapturedPool
from lightning_badge.capture.class_count import LabelRange, warn_of_labels, warn_of_metrics
from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.head import find_head
from lightning_badge.capture.isolation import evaluation_mode, untouched_random_state
from lightning_badge.capture.layer_calls import LayerCall, record_calls
from lightning_badge.capture.positions import positions_of_loader
from lightning_badge.capture.progress import pool_progress
from lightning_badge.capture.reader import loader_generators, pool_size, read_pool
from lightning_badge.capture.rows import PoolRows, missing_samples
from lightning_badge.capture.turns import OwnTurns
from lightning_badge.exceptions import CaptureError, PeerError
from lightning_badge.peers import Peers
from lightning_badge.sample_ids import SampleIds
from lightning_badge.shard import Shard


class PenultimateCapture:
    """Captures what enters and leaves the head while the model runs, one batch at a time.

    The hook on the head exists inside the ``with`` only. Compiled models run eagerly there.

    Args:
        head: The classifier head.
        name: Its name in error messages.

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
    sample_id_key: EntryKey | None = None,
    peers: Peers | None = None,
) -> CapturedPool:
    """Runs the model once over the pool, as its Trainer would, and captures at its head.

    The model runs as `run_batch` says, in evaluation mode without gradients. Afterwards modes,
    hooks and random states are as they were before, also after an exception.

    Args:
        trainer: The Trainer whose strategy, precision and progress bar are used.
        pl_module: The model, on its device.
        dataloader: The pool, in a fixed order.
        head: Name of the head; None finds it in the first batch.
        sample_id_key: Entry of each batch that holds the ids: a key of dict batches, a field of
            dataclasses and named tuples, or a position in tuples. Batches that are a `PoolBatch`
            carry ids of their own; for all others ids are positions in the loader's data set, or
            in the data set of which that is a ``Subset``.
        peers: The processes that share the pool. Each runs the model on its own batches.

    Returns:
        The rows of the whole pool, or of this process's batches if several processes share it.

    Raises:
        CaptureError: Not one row for each sample, an empty pool, a loader that shuffles, or an
            iterable data set without ids whose order is not certain; with several processes, a
            loader whose batches cannot be dealt out.
        HeadError: The head cannot be found, or is not linear.
        PeerError: Another process failed.
    """
    check_runs(pl_module)
    if peers is None or peers.size == 1:
        return _run_over_pool(trainer, pl_module, dataloader, head, sample_id_key)

    def own_batches() -> tuple[CapturedPool, list[int]]:
        turns = OwnTurns(dataloader, peers)
        captured = _run_over_pool(trainer, pl_module, turns, head, sample_id_key)
        return captured, turns.lengths

    captured, lengths = peers.agree(own_batches)
    if len(heads := set(peers.gather(captured.head_name))) > 1:
        raise PeerError(
            f"processes found different classifier heads, {', '.join(sorted(heads))}; name it "
            "with head=..."
        )
    return replace(captured, shard=Shard.in_turns(lengths, peers))


def _run_over_pool(
    trainer: Trainer,
    pl_module: LightningModule,
    dataloader: Iterable[Any],
    head: str | None,
    sample_id_key: EntryKey | None,
) -> CapturedPool:
    run = run_as(trainer, pl_module, sample_id_key)
    with pool_progress(trainer, sized_len(dataloader)) as advance:
        return pass_over_pool(
            pl_module, dataloader, run, head=head, sample_id_key=sample_id_key, advance=advance
        )


def run_as(
    trainer: Trainer, pl_module: LightningModule, sample_id_key: EntryKey | None = None
) -> Callable[[Any, int], Any]:
    """Returns a function that runs the model on a batch, given with its number, as its Trainer."""

    def run(batch: Any, batch_idx: int) -> Any:
        batch = trainer.precision_plugin.convert_input(batch)
        batch = pl_module._on_before_batch_transfer(batch)
        batch = trainer.strategy.batch_to_device(batch)
        with (
            errors_in_one_line(pl_module, batch, batch_idx),
            trainer.precision_plugin.forward_context(),
        ):
            return run_batch(pl_module, batch, batch_idx, sample_id_key)

    return run


def pass_over_pool(
    model: nn.Module,
    dataloader: Iterable[Any],
    run: Callable[[Any, int], Any],
    *,
    head: str | None = None,
    sample_id_key: EntryKey | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> CapturedPool:
    """Runs a model once over the pool, in evaluation mode without gradients.

    Afterwards modes, hooks and random states are as they were before, also after an exception.

    Args:
        model: The model that ``run`` runs.
        dataloader: The pool, in a fixed order; or `OwnTurns`, the batches of one process.
        run: Runs the model on a batch, given with its number, and returns what the model returned.
        head: As in `capture_pool`.
        sample_id_key: As in `capture_pool`.
        advance: Called after each batch.

    Raises:
        CaptureError: As `capture_pool`.
        HeadError: As `capture_pool`.
    """
    turns = dataloader if isinstance(dataloader, OwnTurns) else None
    positions = positions_of_loader(dataloader)
    rows, labels = _rows_of(dataloader, positions.ids), LabelRange(sample_id_key)
    head_name, id_source = "", ""
    capture: PenultimateCapture | None = None
    with (
        untouched_random_state(*loader_generators(dataloader)),
        evaluation_mode(model),
        torch.no_grad(),
        ExitStack() as hooks,
    ):
        for batch_idx, (ids, batch) in enumerate(read_pool(dataloader, sample_id_key)):
            run_once = partial(run, batch, batch_idx)
            labels.see(batch)
            if capture is None:
                found = find_head(model, run_once, head)
                head_name, penultimate, logits = found.name, found.penultimate, found.logits
                capture = hooks.enter_context(PenultimateCapture(found.module, found.name))
                id_source = positions.meaning if ids is None else source_of_ids(sample_id_key)
                if head is None:
                    warn_of_metrics(model, head_name, logits.shape[1])
            else:
                run_once()
                penultimate, logits = capture.take()
            if turns is None or batch_idx < len(turns.lengths):
                rows.append(ids, penultimate, logits)
            advance(1)
    if turns is not None and turns.n_rows < turns.n_expected and id_source == positions.meaning:
        raise missing_samples(turns.n_expected, turns.n_rows)
    if turns is not None and not turns.lengths:
        nothing = np.arange(0), penultimate[:0].clone(), logits[:0].clone()
        return CapturedPool(*nothing, head_name, id_source)
    captured = CapturedPool(*rows.finish(), head_name, id_source)
    if head is None:
        warn_of_labels(labels, head_name, captured.logits.shape[1])
    return captured


def _rows_of(dataloader: Iterable[Any], ids: SampleIds | None) -> PoolRows:
    """Returns the place for a loader's rows; ``ids`` are those of the whole pool, if known."""
    if not isinstance(dataloader, OwnTurns):
        return PoolRows(pool_size(dataloader), ids)
    own = dataloader.positions
    return PoolRows(len(own), own if ids is None else ids[own])


def source_of_ids(sample_id_key: EntryKey | None) -> str:
    """Returns what ids that came with batches are, in words."""
    given_by = "PoolBatch" if sample_id_key is None else f"sample_id_key={sample_id_key!r}"
    return f"given by {given_by}"
