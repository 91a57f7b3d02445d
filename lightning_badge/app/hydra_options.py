"""The options of Hydra that commands take beside overrides; this module needs no torch."""

import sys
from collections.abc import Sequence
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin

from lightning_badge.app.suggestions import did_you_mean

_CONFIG_DIR = ("--config-dir", "-cd")
_WITH_VALUE = {
    *("--cfg", "-c", "--package", "-p", "--config-path", "-cp", "--config-name", "-cn"),
    *(*_CONFIG_DIR, "--experimental-rerun"),
}
_SHOWN = ("job", "hydra", "all")
_INFO = ("--info", "-i")
_ABOUT = {"all", "config", "defaults", "defaults-tree", "plugins", "searchpath"}
_OPTIONS = {
    *("--help", "-h", "--hydra-help", "--resolve", "--run", "-r", "--multirun", "-m"),
    *("--shell-completion", "-sc", "--version", *_WITH_VALUE, *_INFO),
}
# Of these Hydra takes one at a time.
_MODES = {
    **dict.fromkeys(("--run", "-r"), "--run"),
    **dict.fromkeys(("--multirun", "-m"), "-m"),
    **dict.fromkeys(("--cfg", "-c"), "--cfg"),
    **dict.fromkeys(_INFO, "--info"),
    **dict.fromkeys(("--shell-completion", "-sc"), "-sc"),
}


def split_config_dir(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """Returns the folder of ``--config-dir``, None without it, and the other arguments.

    Options come before overrides, wherever they stood: Hydra takes them in no other order.
    """
    options, overrides, folder = list[str](), list[str](), None
    rest = iter(arguments)
    for argument in rest:
        name, is_joined, value = argument.partition("=")
        if not is_option(name):
            overrides.append(argument)
        elif name in _CONFIG_DIR:
            folder = value if is_joined else next(rest, None)
            options += [name] if folder is None else []
        elif name in _WITH_VALUE:
            options.append(f"{name}={value if is_joined else next(rest, '')}")
        else:
            options.append(argument)
    return folder, [*options, *overrides]


def is_option(argument: str) -> bool:
    """Returns whether an argument is an option, and not an override."""
    return argument.startswith("-") and not argument[1:2].isdigit()


def searched_first(arguments: Sequence[str]) -> list[str]:
    """Takes ``--config-dir`` out of the arguments and puts its folder before all others."""
    folder, others = split_config_dir(_with_info(arguments))
    _check_options([argument for argument in others if is_option(argument)])
    if folder is not None:
        if not Path(folder).is_dir():
            sys.exit(f"error: --config-dir: expected a folder, but there is none at {folder}")
        search_first(Path(folder).resolve())
    return others


def _check_options(options: Sequence[str]) -> None:
    names = [option.partition("=")[0] for option in options]
    for option, name in zip(options, names, strict=True):
        if name not in _OPTIONS:
            key = name.lstrip("-").replace("-", "_")
            sys.exit(
                f"error: unknown option {name}{did_you_mean(name, _OPTIONS)}; "
                f"values are set by {key}=..., without dashes"
            )
        if name in _CONFIG_DIR:
            sys.exit(f"error: {name}: expected a folder behind it, got nothing")
        if name in ("--cfg", "-c") and (shown := option.partition("=")[2]) not in _SHOWN:
            sys.exit(f"error: {name}: expected one of {', '.join(_SHOWN)}, got {shown!r}")
    if len(modes := dict.fromkeys(_MODES[name] for name in names if name in _MODES)) > 1:
        sys.exit(f"error: expected one of {' and '.join(modes)}, got both; leave one out")


def _with_info(arguments: Sequence[str]) -> list[str]:
    """Joins ``--info`` and what it is about, so that no override is taken for the latter."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--info=all" and argument in _ABOUT:
            joined[-1] = f"--info={argument}"
        else:
            joined.append("--info=all" if argument in _INFO else argument)
    return joined


def search_first(folder: Path) -> None:
    """Lets Hydra search a folder before all others."""

    class Before(SearchPathPlugin):
        """Hydra itself would search the folder last, so that it could not replace anything."""

        def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
            search_path.prepend(provider="lightning-badge", path=f"file://{folder}")

    Plugins.instance().register(Before)
