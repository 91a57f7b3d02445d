"""`lightning-badge status`: what a run has reached, and what to do next."""

from pathlib import Path

import click


@click.command(short_help="What a run has reached, and what to do next.")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--next",
    "samples",
    metavar="N",
    type=click.IntRange(min=0),
    default=10,
    help="Samples to list that come next.",
)
@click.option(
    "--backup",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Copy the label store there, also while it is written to.",
)
def command(run_dir: Path, as_json: bool, samples: int, backup: Path | None) -> None:
    """Show rounds, labels, annotators, speed and the samples that come next.

    Reads RUN_DIR and changes nothing in it, also while a loop runs there.

    \b
    Examples:
      lightning-badge status runs/digits-cnn-badge-fixed-seed0
      lightning-badge status RUN_DIR --json | jq .next_step
      lightning-badge status RUN_DIR --backup labels-copy.db
    """  # noqa: D301 - click's mark for text that stays as it is
    from lightning_badge.app.status import show

    show.run(run_dir, as_json=as_json, samples=samples, backup=backup)
