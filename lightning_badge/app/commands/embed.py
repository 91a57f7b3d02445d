"""`lightning-badge embed`: the pool of a checkpoint, embedded into a folder, by one or many."""

from pathlib import Path
from typing import Any

import click

LOSSES = click.Choice(["auto", "cross_entropy", "binary_cross_entropy"])


@click.command(short_help="Embed the pool of a checkpoint into a folder, to be ordered later.")
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--module", metavar="CLASS", help="LightningModule, with --ckpt and --data.")
@click.option("--ckpt", metavar="FILE", type=click.Path(path_type=Path), help="Its checkpoint.")
@click.option("--data", metavar="CLASS", help="LightningDataModule that has the pool.")
@click.option("--head", metavar="NAME", help="The classifier head; found if not given.")
@click.option("--loss", metavar="NAME", type=LOSSES, default="auto", help=", ".join(LOSSES.choices))
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32")
@click.option(
    "--batches-per-shard",
    metavar="N",
    type=click.IntRange(min=1),
    default=32,
    help="What a crash loses at most.",
)
@click.option("--accelerator", metavar="NAME", default="auto", help="As in a Trainer.")
@click.option("--devices", metavar="N", default="1", help="Several share the work (DDP).")
@click.option("--precision", metavar="NAME", default="32-true", help="As in a Trainer.")
@click.option("--progress/--no-progress", default=True, help="A bar on a terminal.")
def command(directory: Path, **options: Any) -> None:
    """Run a model once over its pool and write what enters and leaves its head to DIRECTORY.

    The same command again embeds only what is missing. `lightning-badge order DIRECTORY` orders
    the pool.

    \b
    Example:
      lightning-badge embed shards --module my.Net --ckpt best.ckpt --data my.Data --devices 4
      lightning-badge order shards --k 10000
    """  # noqa: D301 - click's mark for text that stays as it is
    from lightning_badge.app import embed_checkpoint

    embed_checkpoint.run(directory, **options)
