"""Changes of a run's budget and priorities, as text."""

from collections.abc import Iterable
from dataclasses import dataclass

from lightning_badge.store.budget_changes import BUDGET, in_words
from lightning_badge.store.changes import Change


@dataclass(frozen=True)
class ChangeFacts:
    """A change: when, who, of what (``budget`` or ``priorities``), and from what to what."""

    when: str
    who: str
    kind: str
    what: str


def change_facts(changes: Iterable[Change]) -> list[ChangeFacts]:
    """Returns changes as text, in their order."""
    return [
        ChangeFacts(
            change.made_at.isoformat(" ", "seconds"),
            str(change.facts.get("who", "")),
            change.kind,
            _what(change),
        )
        for change in changes
    ]


def _what(change: Change) -> str:
    if change.kind == BUDGET:
        return ", ".join(map(in_words, change.facts["changes"]))
    return str(change.facts["change"])
