"""What the arguments of the loop say about its page, found out without torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning_badge.exceptions import BadgeError, RunDirectoryError
from lightning_badge.store.run_path import folder_of_run

PAGE = "lightning_badge.labelers.page.labelers.for_run"
_MODULES = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "PIL": "pillow",
    "markdown_it": "markdown-it-py",
}


@dataclass(frozen=True)
class Plan:
    """A run whose people label at a page.

    Attributes:
        run_path: The run directory.
        is_fresh: Whether an earlier run is moved aside; ``fresh=true`` may go on with one.
        stays: Whether the page stays after the end of the run.
        options: Of the command that serves the page.
    """

    run_path: Path
    is_fresh: bool
    stays: bool
    options: tuple[str, ...]


def plan_of(arguments: Sequence[str]) -> Plan | None:
    """Returns the plan of a run with a page.

    Args:
        arguments: The overrides and options of the loop.

    Returns:
        None for other labelers, and for arguments that the loop itself refuses or that only show
        something.

    Raises:
        BadgeError: The page needs packages that are not installed.
    """
    from lightning_badge.app.hydra_options import is_option, search_first, split_config_dir

    # Composing takes a second, and other labelers need no plan.
    if not any("page" in text or text.startswith(("experiment=", "-")) for text in arguments):
        return None
    folder, overrides = split_config_dir(arguments)
    if any(map(is_option, overrides)) or (folder is not None and not Path(folder).is_dir()):
        return None
    if folder is not None:
        search_first(Path(folder).resolve())
    config = _composed(overrides)
    if config is None or config["labelers"].get("_target_") != PAGE:
        return None
    if missing := [package for module, package in _MODULES.items() if find_spec(module) is None]:
        raise BadgeError(
            f"labelers=page needs {', '.join(missing)}: pip install 'lightning-badge[page]'"
        )
    labelers = config["labelers"]
    path = folder_of_run(config["run_dir"])
    return Plan(path, bool(config["fresh"]), bool(labelers.get("stay")), _options(labelers))


def without_fresh(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments of a run that was moved aside already: it goes on."""
    return [text for text in arguments if text.partition("=")[0].lstrip("+") != "fresh"] + [
        "fresh=false"
    ]


def _composed(overrides: Sequence[str]) -> Mapping[str, Any] | None:
    """Returns ``run_dir``, ``fresh`` and ``labelers``; None if the loop will say what is wrong."""
    from hydra import compose, initialize_config_module
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from lightning_badge.app.fresh_start import begins_anew

    try:
        with initialize_config_module("lightning_badge.configs", version_base="1.3"):
            config = compose("al_loop", list(overrides), return_hydra_config=True)
            HydraConfig.instance().set_config(config)
            labelers: Any = OmegaConf.to_container(config.labelers, resolve=True)
            fresh = begins_anew(config)
            return {"run_dir": config.run_dir, "fresh": fresh, "labelers": labelers}
    except (HydraException, OmegaConfBaseException, RunDirectoryError):
        return None


def _options(labelers: Mapping[str, Any]) -> tuple[str, ...]:
    names = ("host", "port", "certfile", "keyfile", "behind_proxy")
    given = {name: labelers.get(name) for name in names}
    return tuple(
        text
        for name, value in given.items()
        if value is not None
        for text in (f"--{name.replace('_', '-')}", str(value))
    )
