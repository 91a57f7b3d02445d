"""Checks of the callback's arguments."""

from collections.abc import Sequence

from lightning.fabric.utilities.exceptions import MisconfigurationException


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raises if an argument is not one of its choices.

    Raises:
        MisconfigurationException: The value is not valid; the message lists the choices.
    """
    if value not in choices:
        raise MisconfigurationException(
            f"BadgeCallback({name}=...): expected one of {', '.join(choices)}, got {value!r}"
        )


def check_integer(name: str, value: object, least: int) -> None:
    """Raises if an argument is not an integer or is too small.

    Raises:
        MisconfigurationException: The value is not valid; the message says what was expected.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MisconfigurationException(
            f"BadgeCallback({name}=...): expected an integer of {least} or more, got {value!r}"
        )
