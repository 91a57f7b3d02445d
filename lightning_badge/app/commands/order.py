"""`lightning-badge order`: an ordering of embeddings that lie in files, or of a checkpoint."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import click

LOSSES = click.Choice(["auto", "cross_entropy", "binary_cross_entropy"])


def _pairs(_: Any, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, is_pair, text = value.partition("=")
        if not (name and is_pair):
            raise click.BadParameter(f"expected NAME=VALUE, got {value!r}", param=parameter)
        pairs[name] = text
    return pairs


def _strategies() -> str:
    folder = files("lightning_badge.configs") / "strategy"
    return " ".join(sorted(path.name.removesuffix(".yaml") for path in folder.iterdir()))


def _file(option: str, help: str) -> Callable[[Any], Any]:
    return click.option(option, metavar="FILE", type=click.Path(path_type=Path), help=help)


_PAIR: dict[str, Any] = {"metavar": "NAME=VALUE"}


@click.command(short_help="Order embeddings in files, or the pool of a checkpoint.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@_file("--penultimate", "Activations that enter the head, [n, h]: .npy.")
@_file("--logits", "Logits, [n, c]: .npy.")
@_file("--ids", "Ids of the rows, one a line, or .npy; else 0..n-1.")
@_file("--labeled", "The labeled set, one file like FILE.")
@_file("--labeled-penultimate", "The labeled set's activations: .npy.")
@_file("--labeled-logits", "The labeled set's logits: .npy.")
@click.option("--module", metavar="CLASS", help="LightningModule, with --ckpt and --data.")
@_file("--ckpt", "Its checkpoint.")
@click.option("--data", metavar="CLASS", help="LightningDataModule that has the pool.")
@click.option("--strategy", metavar="NAME", default="badge", help=_strategies())
@click.option("--arg", "args", multiple=True, callback=_pairs, help="Of the strategy.", **_PAIR)
@click.option(
    "--k", metavar="N", type=click.IntRange(min=1), help="Ranks; the whole pool if not given."
)
@click.option("--seed", metavar="N", type=click.IntRange(min=0), default=0)
@click.option("--loss", metavar="NAME", type=LOSSES, default="auto", help=", ".join(LOSSES.choices))
@click.option("--bias", is_flag=True, help="Embed the gradient of the head's bias too.")
@click.option("--backend", metavar="NAME", default="auto", help="auto, numba, torch, triton")
@_file("--out", "Default: ordering.parquet, or the suffix of --to.")
@click.option(
    "--to", metavar="FORMAT", help="argilla, csv, fiftyone, jsonl, label-studio, lightly, prodigy"
)
@click.option("--field", "fields", multiple=True, callback=_pairs, help="For --to.", **_PAIR)
@click.option("--progress/--no-progress", default=True, help="A bar on a terminal.")
def command(file: Path | None, out: Path | None, to: str | None, **options: Any) -> None:
    """Order a pool, best sample first, and write the ordering to a file.

    FILE holds penultimate, logits and perhaps sample_id (Parquet, Arrow, safetensors or .npz),
    or is a folder of such Parquet files, as Spark or Ray Data write it, or an ordering to write in
    another format with --to. Which strategy saves how many labels, for which data and budget, and
    where it hurts, is in docs/experiments.md; docs/strategies.md explains the strategies.

    \b
    Examples:
      lightning-badge order --penultimate acts.npy --logits logits.npy --k 1000
      lightning-badge order --module my.Net --ckpt best.ckpt --data my.Data
      lightning-badge order ordering.parquet --to label-studio --field 'image=/data/{sample_id}'
    """  # noqa: D301 - click's mark for text that stays as it is
    from click.core import ParameterSource

    from lightning_badge.app import order_pool

    source = click.get_current_context().get_parameter_source
    given = {name for name in options if source(name) is ParameterSource.COMMANDLINE}
    order_pool.run(file, out, to, given, **options)
