"""`lightning-badge export`: labels, the best model, its predictions and a report of a run."""

from pathlib import Path
from typing import Literal

import click


@click.command(short_help="Labels, best model, predictions and report of a run.")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[data.KEY=VALUE]...")
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Default: RUN_DIR/export."
)
@click.option(
    "--round", metavar="N", type=click.IntRange(min=0), help="Its model; the best if not given."
)
@click.option(
    "--model",
    type=click.Choice(["best", "frozen", "fine_tuned"]),
    default="best",
    show_default=True,
    help="After fine_tune=true: which of the two; best is the one of the better metric.",
)
def command(
    run_dir: Path,
    overrides: tuple[str, ...],
    out: Path | None,
    round: int | None,
    model: Literal["best", "frozen", "fine_tuned"],
) -> None:
    """Write what a run has brought into one folder.

    labels.csv, best.ckpt (the model with the best metric), predictions.parquet (its predictions for
    all samples without a label) and report.html. An earlier export there is replaced. The data are
    read where the run read them, unless data.path=... says otherwise.

    \b
    Examples:
      lightning-badge export runs/digits-cnn-badge-fixed-seed0
      lightning-badge export RUN_DIR data.path=/new/place --out handover
    """  # noqa: D301 - click's mark for text that stays as it is
    from lightning_badge.app.handover import command as handover

    handover.run(run_dir, out, overrides, round=round, model=model)
