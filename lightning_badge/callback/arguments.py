"""Checks of the callback's arguments."""

from collections.abc import Iterable, Mapping
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge import arguments as check
from lightning_badge.kernels import LOSSES

_FLAGS = ("bias", "log_pictures", "keep_embedding", "write_embedding")
_LEAST = {"k": 1, "seed": 0, "every_n": 1, "posterior_samples": 1, "nearest_labeled": 0, "round": 0}
_NAMES = ("strategy", "head", "first_center", "backend")
_OPTIONAL = {"k", "round", "head", "first_center", "dirpath", "pool", "sample_id_key"}


def checked_arguments(given: Mapping[str, Any], when: tuple[str, ...]) -> dict[str, Any]:
    """Returns the callback's arguments as plain values, those that are None included.

    Args:
        given: All but ``strategy_args``, by name.
        when: The choices of ``when``.

    Raises:
        MisconfigurationException: A value is not valid; the message says what was expected.
    """
    return {
        name: value if value is None and name in _OPTIONAL else _checked(name, value, when)
        for name, value in given.items()
    }


def _checked(name: str, value: Any, when: tuple[str, ...]) -> Any:
    what, error = f"BadgeCallback({name}=...)", MisconfigurationException
    if name in _LEAST:
        return check.integer(what, value, least=_LEAST[name], error=error)
    if name in _FLAGS:
        return check.flag(what, value, error=error)
    if name in _NAMES:
        return check.text(what, value, error=error)
    if name in ("dirpath", "filename"):
        return check.path(what, value, error=error)
    if name == "sample_id_key":
        if isinstance(value, str):
            return value
        return check.integer(f"{what} of an entry, a name or", value, error=error)
    if name == "pool":
        return check.instance(what, value, Iterable, "a loader of the pool", error=error)
    choices = {"when": when, "loss": ("auto", *LOSSES)}
    return check.choice(what, value, choices[name], error=error)
