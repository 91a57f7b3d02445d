"""What `lightning-badge embed` does: the pool of a checkpoint, embedded into a folder of shards."""

import sys
from pathlib import Path
from typing import Any

from lightning_badge.app.command_line import messages_on_stderr, one_line_errors

from lightning.pytorch import Trainer

from lightning_badge.app.load_checkpoint import load_checkpoint
from lightning_badge.callback.embed_pool import EmbedPool
from lightning_badge.exceptions import BadgeError


@one_line_errors()
@messages_on_stderr()
def run(
    directory: Path,
    *,
    module: str | None,
    ckpt: Path | None,
    data: str | None,
    devices: str,
    accelerator: str,
    precision: str,
    progress: bool,
    **options: Any,
) -> None:
    """Embeds, and says in one line what came about.

    Args:
        directory: The folder of shards.
        module: Dotted name of a ``LightningModule``.
        ckpt: Its checkpoint.
        data: Dotted name of a ``LightningDataModule``.
        devices: How many, as in a Trainer; several are several processes with DDP.
        accelerator: As in a Trainer.
        precision: As in a Trainer.
        progress: Whether to show progress bars.
        **options: Other arguments of `EmbedPool`.

    Raises:
        BadgeError: What `load_checkpoint` and `capture_to` refuse, or a missing option.
    """
    if module is None or ckpt is None or data is None:
        raise BadgeError("expected --module, --ckpt and --data")
    model, datamodule = load_checkpoint(module, ckpt, data)
    embed = EmbedPool(directory, **options)
    trainer = Trainer(
        accelerator=accelerator,
        devices=devices,
        precision=precision,  # type: ignore[arg-type]
        callbacks=[embed],
        limit_val_batches=1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
    )
    trainer.validate(model, datamodule=datamodule, verbose=False)
    done = embed.embedded
    if done is not None and trainer.is_global_zero:
        before = done.shards - done.written
        there = f", {before:,} of them from before" if before else ""
        print(
            f"{done.rows:,} samples in {done.shards:,} shards{there}: {directory}", file=sys.stderr
        )
