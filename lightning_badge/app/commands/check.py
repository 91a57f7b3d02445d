"""`lightning-badge check`: data, labels, model and machine, before money is spent."""

import click

HELP = """Usage: lightning-badge check [KEY=VALUE]... [HYDRA OPTIONS]

  Check a run before it begins, with the arguments of `lightning-badge loop`, and change nothing:
  how many samples there are and cannot be read, exact and near duplicates, classes, the
  validation plan, the time of a round and the disk space, measured on a part of the data. Exits
  with 1 if there is a problem.

Examples:
  lightning-badge check data=folder data.path=photos data.classes=[cat,dog]
  lightning-badge check data=folder data.path=mail.csv data.labels=labels.csv max_rounds=20

  `lightning-badge loop --help` lists groups, options and keys.
"""


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
    short_help="Check data, model and machine before a run.",
)
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, overrides: tuple[str, ...]) -> None:
    """Check a run before it begins, and change nothing."""
    if {"-h", "--help"} & set(overrides):
        click.echo(HELP, nl=False)
        return
    from lightning_badge.app.check.run_check import run_check

    run_check(overrides, program=context.find_root().info_name)
