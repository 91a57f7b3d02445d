"""`lightning-badge loop`: train, order, label, again."""

from importlib.resources import files

import click

HELP = """Usage: lightning-badge loop [KEY=VALUE]... [HYDRA OPTIONS]

  Train a model, order the pool, label down the ordering, and again. Without arguments: label
  scikit-learn's digits, whose labels stand in for people. The same command goes on where a run
  stopped.

Examples:
  lightning-badge loop budget=variable max_rounds=2
  lightning-badge loop data=folder data.path=photos data.classes=[cat,dog] labelers=page
  lightning-badge loop data=folder data.path=photos data.classes=[cat,dog] labelers=files
  lightning-badge loop data=huggingface data.path=FOLDER strategy=coreset budget.k=100
  lightning-badge loop -m seed=1,2,3 strategy=badge,random

Groups (GROUP=OPTION chooses, GROUP.KEY=VALUE sets one value):
{groups}

More:
  max_rounds=N  total_labels=N  target_metric=X  seed=N  run_dir=DIR  fresh=true  progress=false
  --cfg job          show the configuration and stop
  --config-dir DIR   search DIR first: DIR/model/mine.yaml is model=mine
  -m                 run all combinations of comma-separated values
  eval "$(lightning-badge loop -sc install=bash)"   completes groups, options and keys
"""
PRIVATE_GROUPS = {"hydra", "paths"}


@click.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
    short_help="Train, order, label, again.",
)
@click.argument("overrides", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def command(context: click.Context, overrides: tuple[str, ...]) -> None:
    """Train a model, order the pool, label down the ordering, and again."""
    if {"-h", "--help"} & set(overrides):
        click.echo(HELP.format(groups=_groups()), nl=False)
        return
    from lightning_badge.app.supervise.child_side import (
        crash_status,
        end_with_supervisor,
        is_supervised,
        work_behind,
    )
    from lightning_badge.app.supervise.plan import plan_of

    if not is_supervised() and (plan := plan_of(overrides)):
        from lightning_badge.app.supervise.supervisor import supervise

        supervise(plan, overrides)
    end_with_supervisor()
    work_behind()
    with crash_status():
        from lightning_badge.app.run_loop import run_loop

        run_loop(overrides, program=context.find_root().info_name)


def _groups() -> str:
    """Returns one line for each config group and its options, wrapped."""
    lines = []
    for folder in sorted(files("lightning_badge.configs").iterdir(), key=lambda path: path.name):
        if folder.is_dir() and folder.name not in PRIVATE_GROUPS | {"__pycache__"}:
            names = (path.name for path in folder.iterdir())
            options = sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))
            lines.append(
                click.wrap_text(
                    " ".join(options),
                    width=98,
                    initial_indent=f"  {folder.name:<11}",
                    subsequent_indent=" " * 13,
                )
            )
    return "\n".join(lines)
