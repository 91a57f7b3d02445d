"""Names the extra that installs a package which an example lacks."""

from collections.abc import Iterator
from contextlib import contextmanager

from lightning_badge.exceptions import BadgeError


@contextmanager
def examples_extra() -> Iterator[None]:
    """Imports optional packages of the examples.

    Raises:
        BadgeError: A package is not installed; the message names the extra that has it.

    Example:
        >>> with examples_extra():
        ...     import no_such_package
        Traceback (most recent call last):
        lightning_badge.exceptions.BadgeError: ... pip install "lightning-badge[examples]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise BadgeError(
            f"expected the package {error.name!r}, which is not installed; "
            'pip install "lightning-badge[examples]"'
        ) from error
