"""Checks the paths of ordering files: of several callbacks, and before and after a resume."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from lightning.fabric.utilities import rank_zero_info
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

_DIRPATH = "dirpath"


@runtime_checkable
class WritesFile(Protocol):
    """A callback that writes an ordering file: `BadgeCallback` and its subclasses."""

    @property
    def state_key(self) -> str:
        """The key under which Lightning saves the state."""

    def ordering_path(self, trainer: Trainer) -> Path:
        """Returns the path of the file."""


def reject_shared_file(callback: WritesFile, trainer: Trainer) -> None:
    """Raises if two callbacks of a Trainer would write the same file.

    Raises:
        MisconfigurationException: Two callbacks share a path; the message names it.
    """
    path = callback.ordering_path(trainer)
    for other in _others(callback, trainer):
        if other.ordering_path(trainer) == path:
            raise MisconfigurationException(
                f"two BadgeCallbacks write {path}, and only the later ordering would stay; give "
                "each its own filename= or dirpath="
            )


def state_of_other_folder(
    callback: WritesFile, trainer: Trainer, checkpoint: dict[str, Any]
) -> dict[str, Any] | None:
    """Returns the state that this callback saved under another ``dirpath``, and logs it.

    Lightning finds states by `state_key`, which contains ``dirpath``.

    Args:
        callback: The callback that resumes.
        trainer: The Trainer; one of its other callbacks may own the state.
        checkpoint: The loaded checkpoint.

    Returns:
        None if the checkpoint has a state of this ``dirpath``, or no state that differs only in
        ``dirpath``.
    """
    states: dict[Any, Any] = checkpoint.get("callbacks") or {}
    owned = {other.state_key for other in _others(callback, trainer)}
    if callback.state_key in states:
        return None
    kind, own = _parse(callback.state_key)
    for key, state in states.items():
        other_kind, saved = _parse(key)
        if key not in owned and other_kind == kind and _same_but_folder(own, saved):
            rank_zero_info(
                f"BadgeCallback: dirpath was {saved[_DIRPATH]!r} when the checkpoint was saved and "
                f"is {own[_DIRPATH]!r} now; the earlier file stays at "
                f"{state.get('last_ordering_path')}"
            )
            return dict(state)
    return None


def _others(callback: WritesFile, trainer: Trainer) -> list[WritesFile]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return [other for other in callbacks if other is not callback and isinstance(other, WritesFile)]


def _parse(state_key: object) -> tuple[str, dict[str, Any]]:
    """Splits a key of ``Callback._generate_state_key`` into class name and dict."""
    name, brace, values = str(state_key).partition("{")
    try:
        arguments = ast.literal_eval(brace + values) if brace else {}
    except (SyntaxError, ValueError):
        arguments = {}
    return name, arguments


def _same_but_folder(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if _DIRPATH not in one or _DIRPATH not in other:
        return False
    return {**one, _DIRPATH: None} == {**other, _DIRPATH: None}
