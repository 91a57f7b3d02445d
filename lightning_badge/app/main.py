"""The group of subcommands, and what becomes of their errors."""

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from functools import partial
from typing import NoReturn

import click

from lightning_badge.app import commands
from lightning_badge.app.stop_line import stop_line
from lightning_badge.app.suggestions import did_you_mean
from lightning_badge.app.supervise.child_side import is_supervised
from lightning_badge.app.system_errors import describe
from lightning_badge.exceptions import BadgeError
from lightning_badge.stopping import INTERRUPTED, stops_by_signals

NAME = "lightning-badge"
USAGE_ERROR = 2


class FoundByFile(click.Group):
    """A group whose subcommands are the modules of ``app/commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Returns the names of all subcommands."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a subcommand; None where there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Names the nearest subcommand where the one asked for does not exist."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            names = self.list_commands(ctx)
            raise click.UsageError(
                f"no subcommand {args[0]!r}{did_you_mean(args[0], names)}; there are "
                f"{', '.join(names)}"
            )
        return super().resolve_command(ctx, args)


@click.group(
    NAME,
    cls=FoundByFile,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(package_name="lightning-badge")
def group() -> None:
    """Order a pool of unlabeled samples, best first, and label as far down as you get.

    \b
    Example:
      lightning-badge loop budget=variable max_rounds=2
      lightning-badge order --penultimate acts.npy --logits logits.npy --k 1000
    """  # noqa: D301 - click's mark for text that stays as it is


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits: 0 for success, 1 for an error, 2 for a wrong command line.

    After SIGTERM it exits with 143, after Ctrl-C with 130, and says in one line how to go on.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    sys.path.append(os.getcwd())  # modules of the user, as `python -m` finds them
    if arguments[:1] == ["-sc"]:  # a shell asks for completions of `loop`, the command of Hydra
        line = os.environ.get("COMP_LINE", "")
        os.environ["COMP_LINE"] = line.replace(" loop ", " ", 1)
        arguments = ["loop", *arguments]
    with stops_by_signals(quiet=is_supervised(), how=partial(stop_line, arguments)):
        _run(arguments)


def _run(arguments: Sequence[str]) -> None:
    try:
        group.main(arguments, prog_name=NAME, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(USAGE_ERROR)
    except click.NoSuchOption as error:
        options = (
            [name for option in error.ctx.command.params for name in option.opts]
            if error.ctx
            else []
        )
        _fail(f"no option {error.option_name}{did_you_mean(error.option_name, options)}", error.ctx)
    except click.UsageError as error:
        message = " ".join(error.format_message().split()).rstrip(".")
        _fail(f"{message[:1].lower()}{message[1:]}", error.ctx)
    except OSError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1" or (problem := describe(error)) is None:
            raise
        click.echo(f"error: {problem}", err=True)
        sys.exit(1)
    except BadgeError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        from lightning_badge.app.environment import hidden  # it needs a tenth of a second

        click.echo(f"error: {hidden(' '.join(str(error).split()))}", err=True)
        sys.exit(1)
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        click.echo(stop_line(arguments), err=True)
        sys.exit(INTERRUPTED)


def _fail(message: str, context: click.Context | None) -> NoReturn:
    path = context.command_path if context else NAME
    click.echo(f"error: {message} (see {path} --help)", err=True)
    sys.exit(USAGE_ERROR)
