"""Starting over with ``fresh=true``, once: a run that it began goes on until it has ended.

The run directory remembers in ``fresh.json`` which command began it. So the same command, given
again after a kill, does not move labels aside that were just paid. This module needs no torch.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lightning_badge.app.identity import identity_keys
from lightning_badge.exceptions import BadgeError, RunDirectoryError
from lightning_badge.store.allowance import ended
from lightning_badge.store.foreign_files import read_json_object
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

_NAME = "fresh.json"
_AGAIN = "again"
_log = logging.getLogger(__name__)


def begins_anew(config: DictConfig) -> bool:
    """Returns whether an earlier run is moved aside: ``fresh=again``, or a new ``fresh=true``.

    With ``fresh=true``, a run that the same command began goes on, unless it has ended.

    Raises:
        RunDirectoryError: ``fresh`` is something else.
    """
    fresh = config.fresh
    if fresh == _AGAIN and isinstance(fresh, str):
        return True
    if not isinstance(fresh, bool):
        raise RunDirectoryError(f"fresh: expected true, false or again, got {fresh!r}")
    return fresh and not _is_under_way(config)


def remember(directory: RunDirectory, config: DictConfig) -> None:
    """Remembers that this command began the run."""
    text = json.dumps({"identity": _digest(config)}) + "\n"
    directory.write_text(directory.path / _NAME, text)


def forget_if_ended(directory: RunDirectory, store: LabelStore) -> None:
    """Forgets which command began a run that has ended: ``fresh=true`` starts over again."""
    if ended(store.changes) is not None:
        (directory.path / _NAME).unlink(missing_ok=True)


@contextmanager
def advice_of(config: DictConfig) -> Iterator[None]:
    """Lets errors name ``fresh=again`` where ``fresh=true`` goes on with the run."""
    is_true = config.fresh is True
    try:
        yield
    except BadgeError as error:
        if not is_true or "fresh=true" not in str(error):
            raise
        raise type(error)(str(error).replace("fresh=true", f"fresh={_AGAIN}")) from error


def how_to_go_on(arguments: Sequence[str]) -> str:
    """Returns what a command says that was stopped.

    Example:
        >>> how_to_go_on(["seed=1"])
        'run the same command again to continue'
        >>> how_to_go_on(["seed=1", "fresh=true"])
        'run the same command without fresh=true to continue'
    """
    given = fresh_of(arguments)
    if given is None or given.partition("=")[2].lower() in ("false", "no", "off", "0"):
        return "run the same command again to continue"
    return f"run the same command without {given} to continue"


def fresh_of(arguments: Sequence[str]) -> str | None:
    """Returns the argument of a command that sets ``fresh``; None without one."""
    given = [text for text in arguments if text.partition("=")[0].lstrip("+") == "fresh"]
    return given[-1] if given else None


def _is_under_way(config: DictConfig) -> bool:
    directory = RunDirectory(config.run_dir)
    if read_json_object(directory.path / _NAME).get("identity") != _digest(config):
        return False
    path = directory.labels_path
    try:
        if path.is_file() and path.stat().st_size:
            with LabelStore(path) as store:
                if ended(store.changes) is not None:
                    return False
    except BadgeError:
        pass  # the loop will say what is wrong with it
    _log.info("%s: fresh=true began this run, so it goes on; fresh=again starts over", path.parent)
    return True


def _digest(config: DictConfig) -> str:
    """Returns a digest of the values that define a run, as the command gives them."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    chosen = {key: _at(plain, key) for key in identity_keys(plain)}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()


def _at(config: Mapping[str, Any], dotted: str) -> Any:
    group, _, key = dotted.partition(".")
    return config[group][key] if key else config[group]
