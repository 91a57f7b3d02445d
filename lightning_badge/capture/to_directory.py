"""``capture_to(directory, model, loader)``: a pool goes through a model once, into files."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import nn

from lightning_badge import arguments as check
from lightning_badge.capture.entries import EntryKey
from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.capture.loader_order import reject_shuffling
from lightning_badge.capture.loss import check_loss
from lightning_badge.capture.pool import run_as
from lightning_badge.capture.pool_layout import PoolLayout
from lightning_badge.capture.progress import pool_progress
from lightning_badge.capture.reader import loader_generators
from lightning_badge.capture.shard_writer import ShardWriter
from lightning_badge.capture.turns import dealable
from lightning_badge.capture.without_trainer import check_capture, precision_of, run_alone
from lightning_badge.exceptions import CaptureError, EmbeddingError
from lightning_badge.module_digest import digest_of_module
from lightning_badge.namespaces import lightning_classes
from lightning_badge.peers import Peers
from lightning_badge.progress import progress_bar
from lightning_badge.shard_file import safetensors
from lightning_badge.shard_folder import DTYPES, MANIFEST, Request

BATCHES_PER_SHARD = 32


@dataclass(frozen=True, eq=False)
class Embedded:
    """What `capture_to` did.

    Attributes:
        manifest: The file that describes the shards.
        shards: Number of shards of the pool.
        written: Number of those that were written now; the others were there.
        rows: Number of samples of the pool.
    """

    manifest: Path
    shards: int
    written: int
    rows: int


def capture_to(
    directory: str | Path,
    model: nn.Module,
    loader: Iterable[Any],
    head: str | None = None,
    *,
    dtype: str = "float32",
    batches_per_shard: int = BATCHES_PER_SHARD,
    loss: str = "auto",
    sample_id_key: EntryKey | None = None,
    device: torch.device | str | None = None,
    trainer: Trainer | None = None,
    peers: Peers | None = None,
    progress: bool = False,
) -> Embedded:
    """Runs a model once over a pool and writes what enters and leaves its head into a folder.

    The pool is written in shards of whole batches, each complete or not there. After a crash, the
    same call embeds what is missing, and the result is the same, whatever the number of processes.
    ``order_files(file=directory)`` or ``lightning-badge order DIRECTORY`` orders it.

    Args:
        directory: A new or empty folder, or one of an earlier call with the same arguments.
        model: As in `capture`.
        loader: A ``DataLoader`` of the pool with a map-style data set, unshuffled.
        head: Name of the classifier head; None finds it.
        dtype: ``float32``, or ``float16``, which takes half of the space.
        batches_per_shard: Number of batches in each shard, which is what a crash may lose.
        loss: As in `capture`; what is found or given is written down, for the ordering.
        sample_id_key: As in `capture`.
        device: Device of the batches without a Trainer; None for that of the model.
        trainer: Runs the model as this Trainer does, in its precision, on its device.
        peers: Processes that share the work; each embeds every so many-th missing shard.
        progress: Whether to show a progress bar on a terminal, without a Trainer.

    Raises:
        CaptureError: As in `capture`, or a loader whose batches cannot be chosen.
        HeadError: As in `capture`.
        EmbeddingError: A folder of other weights or another pool, a full disk, numbers too large
            for float16, an unknown ``loss``, or a regression head.
        PeerError: Another process failed.

    Example:
        >>> capture_to("shards", model, DataLoader(pool, batch_size=256))  # doctest: +SKIP
    """
    check_capture(model, loader, head, sample_id_key)
    batches_per_shard = _check(directory, loss, dtype, batches_per_shard)
    folder, peers = Path(directory), _peers_of(trainer, peers)
    safetensors(str(folder), "safetensors.torch")
    whole = dealable(
        getattr(loader, "_dataloader", loader), "capture_to needs", "use capture for others"
    )
    reject_shuffling(whole)
    precision = precision_of(model, device) if trainer is None else str(trainer.precision)
    run: Callable[[Any, int], Any]
    if trainer is None:
        model, run = run_alone(model, sample_id_key, device)
    else:
        run = run_as(trainer, model, sample_id_key)  # type: ignore[arg-type]
    with untouched_random_state(*loader_generators(whole)):
        layout = PoolLayout.of(whole)
        request = Request(
            weights=digest_of_module(model),
            precision=precision,
            pool=layout.digest,
            head=head,
            dtype=dtype,
            rows=int(layout.starts[-1]),
            batches=len(layout.starts) - 1,
            batches_per_shard=batches_per_shard,
        )
        writer = ShardWriter(folder, request, layout, model, whole, run, loss, sample_id_key)
        missing = peers.share(peers.agree(writer.begin if peers.rank == 0 else list))
        own = missing[peers.rank :: peers.size]
        n_batches = sum(len(request.batches_of(shard)) for shard in own)
        bar = (
            progress_bar("Embedding", n_batches, enabled=progress)
            if trainer is None
            else pool_progress(trainer, n_batches, "Embedding")
        )
        with bar as advance:
            peers.agree(partial(writer.write, own, advance))
        peers.agree(writer.finish if peers.rank == 0 else list)
    return Embedded(folder / MANIFEST, request.shards, len(missing), request.rows)


def _check(directory: str | Path, loss: str, dtype: str, batches_per_shard: int) -> int:
    check.path("directory", directory, error=EmbeddingError)
    check_loss(loss)
    check.choice("dtype", dtype, tuple(DTYPES), error=EmbeddingError)
    return check.integer("batches_per_shard", batches_per_shard, least=1, error=EmbeddingError)


def _peers_of(trainer: Trainer | None, peers: Peers | None) -> Peers:
    if trainer is not None and trainer.world_size > 1:
        if peers is None:
            raise CaptureError(
                f"expected peers=, as the Trainer has {trainer.world_size} processes that share "
                "the pool; EmbedPool gives them"
            )
        if not isinstance(trainer.strategy, lightning_classes("strategies.DDPStrategy")):
            raise CaptureError(
                f"{trainer.world_size} processes with {type(trainer.strategy).__name__}: expected "
                "DDP, in which each process can run the model without the others; use "
                "strategy='ddp', or one process"
            )
    return Peers() if peers is None else peers
