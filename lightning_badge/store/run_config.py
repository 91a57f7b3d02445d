"""The configuration of a run as plain values: written as YAML, and compared by dotted keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from lightning_badge.exceptions import RunDirectoryError
from lightning_badge.store.secret_values import is_from_environment, is_secret

_STRATEGY = "strategy.name"


class _Plain(yaml.SafeDumper):  # type: ignore[misc]
    """Writes values that occur twice twice, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def to_yaml(config: Mapping[str, Any]) -> str:
    """Returns a configuration as YAML.

    Raises:
        RunDirectoryError: It holds a value that is not plain.
    """
    try:
        text: str = yaml.dump(dict(config), Dumper=_Plain, sort_keys=False, allow_unicode=True)
    except yaml.YAMLError as error:
        raise RunDirectoryError(
            f"configuration: expected mappings and lists of plain values, got {error}; "
            "pass OmegaConf.to_container(config, resolve=True)"
        ) from error
    return text


def leaves_of(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a nested mapping by dotted key; a list counts as one value."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        is_branch = isinstance(value, Mapping) and value
        leaves |= leaves_of(value, f"{prefix}{key}.") if is_branch else {f"{prefix}{key}": value}
    return leaves


def select(config: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """Returns the leaves at or below any of the dotted keys."""
    prefixes = tuple(f"{key}." for key in keys)
    return {k: v for k, v in leaves_of(config).items() if f"{k}.".startswith(prefixes)}


def differences(
    stored: Mapping[str, Any], now: Mapping[str, Any], keys: Sequence[str]
) -> list[str]:
    """Describes each leaf in which two configurations differ, but secrets.

    What comes from the environment is not compared, and another token is no other run. Of another
    strategy, whose arguments are others, only the name is described.
    """
    was, is_ = select(stored, keys), select(now, keys)
    different = [
        key
        for key in was | is_
        if (key not in was or key not in is_ or was[key] != is_[key])
        and not any(_is_kept_apart(key, leaves.get(key)) for leaves in (was, is_))
    ]
    if _STRATEGY in different:
        rest = [key for key in different if not key.startswith("strategy.")]
        different = [_STRATEGY, *rest]
    return [
        f"{'strategy' if key == _STRATEGY else key}: "
        f"stored {_shown(was, key)}, now {_shown(is_, key)}"
        for key in different
    ]


def _is_kept_apart(key: str, value: Any) -> bool:
    return is_from_environment(value) or is_secret(key, value)


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    return repr(leaves[key]) if key in leaves else "nothing"
