"""`lightning-badge prioritise`: which samples come first, and which are not asked for."""

from pathlib import Path
from typing import Any

import click


def _quotas(_: Any, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    quotas = {}
    for value in values:
        name, _, number = value.rpartition("=")
        if not name or not number.isdigit() or int(number) < 1:
            raise click.BadParameter(f"expected CLASS=NUMBER, got {value!r}", param=parameter)
        quotas[name] = int(number)
    return quotas


@click.command(short_help="Say which samples of a run come first, or not at all.")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--first", multiple=True, metavar="GLOB", help="These come first.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="These are not asked for.")
@click.option(
    "--quota",
    multiple=True,
    metavar="CLASS=N",
    callback=_quotas,
    help="The first N guessed as CLASS come first.",
)
@click.option("--column", metavar="NAME", help="Globs match this column, not sample ids.")
@click.option(
    "--table",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="CSV or Parquet with sample_id and that column; the data's own if not given.",
)
@click.option("--guessed", is_flag=True, help="Globs match the guessed class, not sample ids.")
@click.option("--clear", is_flag=True, help="Withdraw all earlier rules first.")
@click.option("--as", "who", metavar="NAME", help="Who decides; your user name if not given.")
def command(
    run_dir: Path,
    first: tuple[str, ...],
    exclude: tuple[str, ...],
    quota: dict[str, int],
    column: str | None,
    table: Path | None,
    guessed: bool,
    clear: bool,
    who: str | None,
) -> None:
    """Shift priorities of a run, also while a loop and its page run.

    Rules concern what is not leased yet, from the next lease on, in this round and all later ones.
    The latest rule is the strongest. They are logged, and `lightning-badge status` and the report
    show them. Without options, the rules in force are shown. In a GLOB, * stops at / and ** does
    not.

    \b
    Examples:
      lightning-badge prioritise RUN_DIR --first 'camera_7/**'
      lightning-badge prioritise RUN_DIR --exclude night --column light --table meta.csv
      lightning-badge prioritise RUN_DIR --quota heron=20 --quota stork=20
      lightning-badge prioritise RUN_DIR --clear
    """  # noqa: D301 - click's mark for text that stays as it is
    if guessed and column is not None:
        raise click.UsageError("expected --column or --guessed, got both")
    if table is not None and column is None:
        raise click.UsageError("--table: expected --column too")
    from lightning_badge.app import set_priorities

    by = "guess" if guessed else "id" if column is None else f"column:{column}"
    given = set_priorities.Given(first, exclude, quota, by, table, clear)
    set_priorities.run(run_dir, given, who)
