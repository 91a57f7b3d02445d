"""Which samples of a query come first, and which are not asked for: rules of people.

A rule is a stable partition of the ordering: those that it names keep their order among
themselves, and so do the others. The function is pure; `QuerySamples` applies it to what is not
leased yet, and `rules_in_force` reads the rules in the label store.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from lightning_badge.exceptions import LabelError
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.changes import ChangeLog
from lightning_badge.store.columns import read_column

PRIORITIES = "priorities"
FIRST, EXCLUDE, QUOTA = ACTIONS = ("first", "exclude", "quota")
ID, GUESS = "id", "guess"


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        action: ``first``: samples that match come before others. ``exclude``: they are not handed
            out. ``quota``: the first of each guessed class come before others, as many as
            ``quota`` says.
        patterns: Globs; one that matches is enough.
        by: What is matched: ``id``, ``guess`` (the name of the predicted class), or
            ``column:NAME``.
        quota: Number of samples by name of the guessed class.
    """

    action: str
    patterns: tuple[str, ...] = ()
    by: str = ID
    quota: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise LabelError(f"priority: expected one of {', '.join(ACTIONS)}, got {self.action!r}")
        is_quota = self.action == QUOTA
        if is_quota != bool(self.quota) or is_quota == bool(self.patterns):
            raise LabelError(
                f"priority {self.action}: expected "
                f"{'CLASS=NUMBER' if is_quota else 'a pattern such as camera_7/**'}, got "
                f"{dict(self.quota) or list(self.patterns)!r}"
            )
        for name, number in self.quota.items():
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise LabelError(f"quota {name}: expected a positive integer, got {number!r}")

    @property
    def column(self) -> str | None:
        """Name of the column that is matched; None for ids and guesses."""
        kind, _, name = self.by.partition(":")
        return name if kind == "column" else None

    def as_facts(self) -> dict[str, Any]:
        """Returns the rule as JSON values."""
        if self.action == QUOTA:
            return {"action": self.action, "quota": dict(self.quota)}
        return {"action": self.action, "patterns": list(self.patterns), "by": self.by}

    def __str__(self) -> str:
        """Returns the rule as one line.

        Example:
            >>> print(Rule("first", ("camera_7/**",)), Rule("quota", quota={"cat": 20}), sep="; ")
            first camera_7/**; quota cat=20
        """
        if self.action == QUOTA:
            return " ".join([QUOTA, *(f"{name}={number}" for name, number in self.quota.items())])
        by = {ID: "", GUESS: " by guessed class"}.get(self.by, f" by column {self.column}")
        return f"{self.action} {' '.join(self.patterns)}{by}"


@dataclass(frozen=True)
class Described:
    """What rules match.

    Attributes:
        guess: Returns the name of the predicted class of a sample; None if it is not known.
        columns: Values by sample id, as text, of each column that a rule names.
    """

    guess: Callable[[SampleId], str | None]
    columns: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def value(self, rule: Rule, sample_id: SampleId) -> str | None:
        """Returns what a rule matches of a sample; None if the sample has no such value."""
        if rule.by == GUESS or rule.action == QUOTA:
            return self.guess(sample_id)
        if rule.column is None:
            return str(sample_id)
        value = self.columns.get(rule.column, {}).get(str(sample_id))
        return None if value is None else str(value)


def in_order(
    sample_ids: Iterable[SampleId], rules: Sequence[Rule], described: Described
) -> list[SampleId]:
    """Returns samples in the order in which to ask for them, the latest rule being the strongest.

    Args:
        sample_ids: The samples of an ordering, best first.
        rules: The rules in force, the latest one last; those that exclude change no order.
        described: What rules match.
    """
    ordered = list(sample_ids)
    for rule in rules:
        if rule.action == EXCLUDE:
            continue
        named, others = _split(ordered, rule, described)
        ordered = named + others
    return ordered


def excluded(
    sample_ids: Iterable[SampleId], rules: Sequence[Rule], described: Described
) -> set[SampleId]:
    """Returns the samples that are not to be handed out."""
    excluding = [rule for rule in rules if rule.action == EXCLUDE]
    if not excluding:
        return set()
    return {
        sample_id
        for sample_id in sample_ids
        if any(_matches(rule, described.value(rule, sample_id)) for rule in excluding)
    }


def named_by(rule: Rule, sample_ids: Iterable[SampleId], described: Described) -> list[SampleId]:
    """Returns the samples that one rule brings forward or excludes, in the order given."""
    return _split(sample_ids, rule, described)[0]


def commit_rules(
    changes: ChangeLog, rules: Sequence[Rule], *, who: str, change: str, **facts: Any
) -> None:
    """Writes the rules that are in force from now on; call it in a transaction.

    Args:
        changes: The changes of the label store.
        rules: All rules, the latest one last.
        who: Who decided.
        change: One line that says what changed.
        **facts: More to log.
    """
    plain = [rule.as_facts() for rule in rules]
    changes.write(PRIORITIES, {"who": who, "change": change, "rules": plain, **facts})


def rules_in_force(changes: ChangeLog) -> list[Rule]:
    """Returns the rules in force, the latest one last."""
    last = changes.last(PRIORITIES)
    return [] if last is None else [rule_of(facts) for facts in last.facts["rules"]]


def rule_of(facts: Mapping[str, Any]) -> Rule:
    """Returns the rule of JSON values, as `Rule.as_facts` writes them."""
    return Rule(
        facts["action"],
        tuple(facts.get("patterns", ())),
        facts.get("by", ID),
        dict(facts.get("quota", {})),
    )


def columns_of(changes: ChangeLog, rules: Iterable[Rule]) -> dict[str, dict[str, Any]]:
    """Returns the columns that rules name."""
    names = {rule.column for rule in rules if rule.column is not None}
    return {name: read_column(changes, name) for name in sorted(names)}


@lru_cache(maxsize=256)
def glob(pattern: str) -> "re.Pattern[str]":
    """Returns the expression of a glob: ``*`` and ``?`` do not match ``/``, and ``**`` does.

    Example:
        >>> bool(glob("a/*").fullmatch("a/b/c")), bool(glob("a/**").fullmatch("a/b/c"))
        (False, True)
    """
    tokens = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return re.compile("".join(tokens.get(part, re.escape(part)) for part in parts), re.DOTALL)


def _matches(rule: Rule, value: str | None) -> bool:
    return value is not None and any(glob(text).fullmatch(value) for text in rule.patterns)


def _split(
    ordered: Iterable[SampleId], rule: Rule, described: Described
) -> tuple[list[SampleId], list[SampleId]]:
    """Returns the samples that a rule names, and the others."""
    named: list[SampleId] = []
    others: list[SampleId] = []
    taken: Counter[str] = Counter()
    for sample_id in ordered:
        value = described.value(rule, sample_id)
        if rule.action == QUOTA:
            is_named = value is not None and taken[value] < rule.quota.get(value, 0)
            taken[value or ""] += is_named
        else:
            is_named = _matches(rule, value)
        (named if is_named else others).append(sample_id)
    return named, others
