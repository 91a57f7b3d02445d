"""The line with which a stopped command ends."""

from collections.abc import Sequence


def stop_line(arguments: Sequence[str]) -> str:
    """Returns how to go on with a command, given its arguments.

    Example:
        >>> stop_line(["loop", "fresh=true"])
        'stopped; run the same command without fresh=true to continue'
    """
    from lightning_badge.app.fresh_start import how_to_go_on  # it needs a tenth of a second

    return f"stopped; {how_to_go_on(arguments)}"
