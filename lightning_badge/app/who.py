"""The name of whoever gives a command."""

import getpass


def user_name() -> str:
    """Returns the name of the user; ``unknown`` if the machine does not know one."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container may have no names
        return "unknown"
