"""`lightning-badge budget`: another budget while a run goes on."""

from pathlib import Path

import click


@click.command(short_help="Change the budget of a run while it runs.")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--as", "who", metavar="NAME", help="Who decides; your user name if not given.")
def command(run_dir: Path, overrides: tuple[str, ...], who: str | None) -> None:
    """Change values of the budget of a run, also while a loop and its page run.

    Money and deadlines hold from the next lease on, the number of labels from the next look of the
    loop on. The change is logged, and `lightning-badge status` and the report show it. Without
    KEY=VALUE, the budget and what remains of it are shown.

    \b
    Examples:
      lightning-badge budget runs/photos-default-badge-cost-seed0
      lightning-badge budget RUN_DIR limit=500
      lightning-badge budget RUN_DIR of.money.limit=500 of.size.k=100 --as ann
    """  # noqa: D301 - click's mark for text that stays as it is
    from lightning_badge.app import change_budget

    change_budget.run(run_dir, overrides, who)
