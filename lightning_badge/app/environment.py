"""Values from the environment: never written into files of a run, and hidden in messages.

A configuration takes a secret by ``${oc.env:NAME}``. What is stored keeps that text, and another
value of the variable is no other run.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.store.secret_values import FROM_ENVIRONMENT

_SHORTEST = 6  # shorter values are words of other messages, too
_ENV, _DECODE = "oc.env", "oc.decode"
_FOUND: dict[str, str] = {}  # texts such as ${oc.env:NAME}, by value


def watch() -> None:
    """Remembers from now on which values come from the environment, to hide them in messages."""
    _register(_seen, oc.decode)


def unresolved(config: DictConfig) -> Any:
    """Returns a configuration in plain values, with ``${oc.env:NAME}`` in place of the value."""
    _register(_text_of_env, _text_of_decode)
    try:
        return OmegaConf.to_container(config, resolve=True)
    finally:
        watch()


def resolved(config: Any) -> Any:
    """Returns a stored configuration, or a part of one, with the values of the environment.

    Raises:
        RunDirectoryError: A variable is not set.
    """
    if isinstance(config, Mapping):
        return {key: resolved(value) for key, value in config.items()}
    if isinstance(config, list):
        return [resolved(value) for value in config]
    if not isinstance(config, str) or FROM_ENVIRONMENT not in config:
        return config
    watch()
    try:
        return OmegaConf.create({"value": config}).value
    except OmegaConfBaseException as error:
        raise RunDirectoryError(
            f"the configuration of the run needs the environment for {config}, but "
            f"{' '.join(str(error).split()).partition(' full_key')[0]}; export it"
        ) from error


def hidden(text: str) -> str:
    """Returns a message in which values of the environment are replaced by their names."""
    for value, name in _FOUND.items():
        text = text.replace(value, name)
    return text


class HideValues(logging.Filter):
    """Hides values of the environment in log records."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns True; a record that holds such a value is changed."""
        if _FOUND:
            message = record.getMessage()
            if (shown := hidden(message)) != message:
                record.msg, record.args = shown, ()
        return True


def hide_in_logs() -> None:
    """Hides values of the environment in what the handlers of all logs print."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(it, HideValues) for it in handler.filters):
            handler.addFilter(HideValues())


def _register(env: Any, decode: Any) -> None:
    OmegaConf.register_new_resolver(_ENV, env, replace=True)
    OmegaConf.register_new_resolver(_DECODE, decode, replace=True)


def _seen(key: str, *default: Any) -> Any:
    value = oc.env(key, *default)
    given = os.environ.get(key, "")
    # Files and folders are no secrets, and messages name them.
    if len(given) >= _SHORTEST and not os.path.exists(given):
        _FOUND[given] = f"{FROM_ENVIRONMENT}{key}}}"
    return value


def _text_of_env(key: str, *default: Any) -> str:
    texts = ("null" if value is None else str(value) for value in default)
    return f"{FROM_ENVIRONMENT}{','.join([key, *texts])}}}"


def _text_of_decode(text: Any, _parent_: Any, _node_: Any) -> Any:
    if isinstance(text, str) and FROM_ENVIRONMENT in text:
        return f"${{{_DECODE}:{text}}}"
    return oc.decode(text, _parent_, _node_)
