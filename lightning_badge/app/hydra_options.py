"""The options of Hydra that commands take beside overrides; this module needs no torch."""

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from lightning_badge.app.suggestions import did_you_mean

_OPTIONS = {
    *("--help", "-h", "--hydra-help", "--cfg", "-c", "--resolve", "--package", "-p", "--run", "-r"),
    *("--multirun", "-m", "--shell-completion", "-sc", "--config-path", "-cp", "--config-name"),
    *("-cn", "--config-dir", "-cd", "--info", "-i", "--version", "--experimental-rerun"),
}


def split_config_dir(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Returns the folder of ``--config-dir``, None without it, and the other arguments."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False, prefix_chars="-")
    parser.add_argument("--config-dir", "-cd", default=None)
    known, others = parser.parse_known_args(arguments)
    return known.config_dir, others


def is_option(argument: str) -> bool:
    """Returns whether an argument is an option, and not an override."""
    return argument.startswith("-") and not argument[1:2].isdigit()


def searched_first(arguments: Sequence[str]) -> list[str]:
    """Takes ``--config-dir`` out of the arguments and puts its folder before all others."""
    folder, others = split_config_dir(arguments)
    for argument in others:
        option = argument.partition("=")[0]
        if is_option(option) and option not in _OPTIONS:
            name = option.lstrip("-").replace("-", "_")
            sys.exit(
                f"error: unknown option {option}{did_you_mean(option, _OPTIONS)}; "
                f"values are set by {name}=..., without dashes"
            )
    if folder is not None:
        if not Path(folder).is_dir():
            sys.exit(f"error: --config-dir: expected a folder, but there is none at {folder}")
        search_first(Path(folder).resolve())
    return others


def search_first(folder: Path) -> None:
    """Lets Hydra search a folder before all others."""

    class Before(SearchPathPlugin):
        """Hydra itself would search the folder last, so that it could not replace anything."""

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            search_path.prepend(provider="lightning-badge", path=f"file://{folder}")

    Plugins.instance().register(Before)
