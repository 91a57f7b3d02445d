"""Prints what a check found."""

from collections.abc import Sequence

from rich.console import Console

from lightning_badge.app.check.cost import Cost
from lightning_badge.app.check.duplicates import Duplicates, Pair
from lightning_badge.app.check.facts import CheckFacts

_NAMED = 5
_MOST_CLASSES = 20


def show(facts: CheckFacts, console: Console) -> None:
    """Prints one line for each subject, then warnings and problems."""
    rows = [
        ("samples", _samples(facts)),
        *(("", f"{name!a}: {why}") for name, why in list(facts.unreadable.items())[:_NAMED]),
        *(("", note) for note in facts.notes),
        ("duplicates", _duplicates(facts.duplicates)),
        ("labels", f"{facts.known:,} of {facts.samples:,} known"),
        ("classes", _classes(facts.by_class)),
        ("validation", f"{facts.validation:,} samples, {facts.validation_plan}"),
        ("model", f"{facts.model}, {facts.parameters:,} parameters"),
        *_cost(facts.cost, facts),
    ]
    for name, text in rows:
        _print(console, f"{name:<11}{text}")
    for warning in facts.warnings:
        _print(console, f"warning: {warning}", style="yellow")
    for problem in facts.problems:
        _print(console, f"problem: {problem}", style="red")
    if not facts.problems:
        _print(console, "ready: give the same arguments to `lightning-badge loop`", style="green")


def _samples(facts: CheckFacts) -> str:
    unreadable = f", {len(facts.unreadable):,} more cannot be read" if facts.unreadable else ""
    return f"{facts.samples:,}, of which {facts.pool:,} in the pool{unreadable}"


def _duplicates(found: Duplicates | None) -> str:
    if found is None:
        return "not counted: the inputs are neither images nor rows of numbers"
    exact = f"{found.exact:,} exact{_examples(found.exact_examples)}"
    near = f"{found.near:,} near{_examples(found.near_examples)}"
    return f"{exact}, {near}, of {found.compared:,} samples compared"


def _examples(pairs: Sequence[Pair]) -> str:
    return f" ({', '.join(f'{first} = {second}' for first, second in pairs)})" if pairs else ""


def _classes(by_class: dict[str, int]) -> str:
    first = [f"{name} {count:,}" for name, count in list(by_class.items())[:_MOST_CLASSES]]
    more = len(by_class) - len(first)
    return ", ".join(first) + (f", and {more} more" if more else "")


def _cost(cost: Cost | None, facts: CheckFacts) -> list[tuple[str, str]]:
    if cost is None:
        return []
    parts = {
        "training": cost.training_s,
        "validation": cost.validation_s,
        "pass over the pool": cost.pool_s,
        "ordering": cost.ordering_s,
    }
    listed = ", ".join(f"{name} {_seconds(value)}" for name, value in parts.items())
    total = "not known" if cost.total_s is None else f"about {_seconds(cost.total_s)}"
    rounds = facts.rounds or 1
    what = f"{rounds:,} rounds" if facts.rounds else "each round"
    return [
        ("a round", f"{total} ({listed}; measured on {cost.measured_on:,} samples)"),
        (
            "disk",
            f"{_size(cost.total_bytes * rounds)} for {what} (checkpoint "
            f"{_size(cost.checkpoint_bytes)}, ordering {_size(cost.ordering_bytes)} each); "
            f"{_size(facts.free_bytes)} free",
        ),
    ]


def _seconds(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    if seconds < 90:
        return f"{seconds:.1f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _print(console: Console, line: str, *, style: str = "") -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
