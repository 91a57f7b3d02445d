"""Checks of the callback's own arguments."""

from collections.abc import Sequence

from lightning.fabric.utilities.exceptions import MisconfigurationException


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises where an argument is none of its choices.

    Raises:
        MisconfigurationException: With the choices.
    """
    if value not in choices:
        raise MisconfigurationException(
            f"BadgeCallback({name}=...): expected one of {', '.join(choices)}, got {value!r}"
        )


def check_integer(name: str, value: object, least: int) -> None:
    """Raises where an argument is no integer, or less than it may be.

    Raises:
        MisconfigurationException: With what was expected.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MisconfigurationException(
            f"BadgeCallback({name}=...): expected an integer of {least} or more, got {value!r}"
        )
