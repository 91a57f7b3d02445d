"""Changes of a run's budget while the run goes on, as rows of the label store.

Each row holds the whole configuration of the budget from then on.
"""

from collections.abc import Mapping
from typing import Any

from lightning_badge.store.changes import ChangeLog

BUDGET = "budget"
_PRIVATE = ("_target_", "_convert_", "_partial_", "_recursive_")


def settings(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns the values of a budget's configuration by dotted key.

    Example:
        >>> settings({"_target_": "AnyOf", "of": {"size": {"_target_": "Fixed", "k": 5}}})
        {'of.size.k': 5}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= settings(value, f"{prefix}{key}.")
        elif key not in _PRIVATE:
            found[f"{prefix}{key}"] = value
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns ``key``, ``from`` and ``to`` of each value in which two configurations differ.

    What one of them does not have is None there; another kind of budget has the key ``budget``.
    """
    was, is_ = settings(before), settings(now)
    kinds = _kinds(before), _kinds(now)
    found = [] if kinds[0] == kinds[1] else [{"key": "budget", "from": kinds[0], "to": kinds[1]}]
    return found + [
        {"key": key, "from": was.get(key), "to": is_.get(key)}
        for key in dict.fromkeys([*was, *is_])
        if (key in was, was.get(key)) != (key in is_, is_.get(key))
    ]


def commit_budget(
    changes: ChangeLog, before: Mapping[str, Any], now: Mapping[str, Any], *, who: str, how: str
) -> list[dict[str, Any]]:
    """Writes a change of the budget, unless there is none; call it in a transaction.

    Args:
        changes: The changes of the label store.
        before: The configuration in force.
        now: The new configuration.
        who: Who decided.
        how: Where: ``command`` or ``start``.

    Returns:
        The differences.
    """
    found = differences(before, now)
    if found:
        facts = {"who": who, "how": how, "changes": found, "config": dict(now)}
        changes.write(BUDGET, facts)
    return found


def budget_in_force(changes: ChangeLog, begun_with: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the configuration of the budget in force.

    Args:
        changes: The changes of the label store.
        begun_with: The configuration that the run has without any change.
    """
    last = changes.last(BUDGET)
    return begun_with if last is None else dict(last.facts["config"])


def in_words(difference: Mapping[str, Any]) -> str:
    """Returns a difference as text.

    Example:
        >>> in_words({"key": "limit", "from": 100, "to": 500})
        'limit: 100 -> 500'
    """
    return f"{difference['key']}: {_shown(difference['from'])} -> {_shown(difference['to'])}"


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _kinds(config: Mapping[str, Any]) -> str:
    """Returns the classes of a budget and of its parts, as text."""
    parts = [str(config.get("_target_", "")).rpartition(".")[2]]
    for key, value in config.items():
        if isinstance(value, Mapping):
            inner = _kinds(value)
            parts += [f"{key}={inner}"] if inner else []
    return " ".join(filter(None, parts))
