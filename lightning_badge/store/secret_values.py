"""Which values of a configuration are secrets, or come from the environment."""

import re
from collections.abc import Mapping
from typing import Any

_PASSWORD_IN_ADDRESS = re.compile(r"://[^/@\s]*:[^/@\s]+@")
FROM_ENVIRONMENT = "${oc.env:"  # a value that only the environment holds begins so
_SECRET = re.compile(
    r"(^|_)(token|secret|password|passwd|passphrase|api_?key|access_?key|private_?key|credentials?|"
    r"authorization)$",
    re.IGNORECASE,
)


def is_from_environment(value: Any) -> bool:
    """Returns whether a value, or a part of it, comes from the environment."""
    return FROM_ENVIRONMENT in str(value)


def is_secret(dotted: str, value: Any) -> bool:
    """Returns whether a value is a secret that was written down.

    The name of its key says so, or it is an address with a password.

    Example:
        >>> is_secret("data.token", "abc"), is_secret("data.token", "${oc.env:HF_TOKEN}")
        (True, False)
    """
    name = dotted.rpartition(".")[2]
    if not isinstance(value, str) or not value or is_from_environment(value):
        return False
    return bool(_SECRET.search(name) or _PASSWORD_IN_ADDRESS.search(value))


def secrets_of(leaves: Mapping[str, Any]) -> list[str]:
    """Returns the dotted keys of secrets that were written down."""
    return [key for key, value in leaves.items() if is_secret(key, value)]
