"""Priorities that the configuration of a run plans for its rounds."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.priorities import (
    ACTIONS,
    PRIORITIES,
    QUOTA,
    Rule,
    commit_rules,
    rules_in_force,
)

_KEYS = ("round", "by", "clear", *ACTIONS)


class PlannedRules:
    """Rules that take effect when a round begins, as if somebody gave them then.

    Args:
        plans: For each, the ``round``; ``first`` or ``exclude`` with patterns, or ``quota`` with
            numbers by class; ``by`` as in `Rule`; and ``clear: true`` to withdraw all rules before.
        store: The label store.

    Raises:
        LabelError: A plan says nothing, or something else.
    """

    def __init__(self, plans: Sequence[Mapping[str, Any]], store: LabelStore) -> None:
        self._store = store
        self._plans = [(_round_of(plan), plan, _rules_of(plan)) for plan in plans]

    def begin(self, round: int) -> None:
        """Commits the rules that are planned for a round, unless they were committed before."""
        changes = self._store.changes
        with self._store.leases.transaction():
            known = {change.facts.get("plan") for change in changes.of(PRIORITIES)}
            for number, (planned, plan, rules) in enumerate(self._plans):
                if planned == round and number not in known:
                    before = [] if plan.get("clear") else rules_in_force(changes)
                    words = [*(["clear"] if plan.get("clear") else []), *map(str, rules)]
                    change = "; ".join(words)
                    everything = [*before, *rules]
                    commit_rules(changes, everything, who="config", change=change, plan=number)


def _round_of(plan: Any) -> int:
    if not isinstance(plan, Mapping) or not set(plan) <= set(_KEYS):
        raise LabelError(f"priorities: expected entries with {', '.join(_KEYS)}, got {plan!r}")
    round = plan.get("round")
    if isinstance(round, bool) or not isinstance(round, int) or round < 0:
        raise LabelError(f"priorities: expected a round of 0 or more, got {round!r}")
    return round


def _rules_of(plan: Mapping[str, Any]) -> list[Rule]:
    rules = []
    for action in ACTIONS:
        given = plan.get(action)
        if not given:
            continue
        if action == QUOTA:
            rules.append(Rule(QUOTA, quota={str(name): n for name, n in given.items()}))
        else:
            patterns = [given] if isinstance(given, str) else list(given)
            rules.append(Rule(action, tuple(map(str, patterns)), plan.get("by", "id")))
    if not rules and not plan.get("clear"):
        raise LabelError(f"priorities: expected {', '.join(ACTIONS)} or clear, got {dict(plan)!r}")
    return rules
