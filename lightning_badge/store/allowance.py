"""What the loop tells labelers: how many labels a query may still receive, and that a run ended."""

from typing import Any

from lightning_badge.store.changes import Change, ChangeLog

ALLOWANCE = "allowance"
END = "end"


def allow(changes: ChangeLog, round: int, labels: int | None, *, edition: int = 0) -> None:
    """Permits to hand out samples of a round's ordering; call it in a transaction.

    Args:
        changes: The changes of the label store.
        round: The round.
        labels: How many labels its query may have in all; None for no limit.
        edition: Number of the ordering, which is made again when samples arrive.
    """
    facts = {"round": round, "labels": labels, **({"edition": edition} if edition else {})}
    last = changes.last(ALLOWANCE)
    if last is None or last.facts != facts or ended(changes):
        changes.write(ALLOWANCE, facts)


def allowed(changes: ChangeLog) -> dict[str, Any] | None:
    """Returns the ``round`` and the ``labels`` of the latest allowance; None before the first."""
    last = changes.last(ALLOWANCE)
    return None if last is None else last.facts


def end(changes: ChangeLog, round: int, reason: str) -> None:
    """Commits that a run ended with a round, unless it is known."""
    facts = {"round": round, "reason": reason}
    last = ended(changes)
    if last is None or last.facts != facts:
        changes.add(END, **facts)


def ended(changes: ChangeLog) -> Change | None:
    """Returns the ``round`` and the ``reason`` of the end; None if the run goes on.

    An allowance that is later than the end says that the run goes on.
    """
    last, end = changes.last(ALLOWANCE), changes.last(END)
    if end is None or (last is not None and last.change_id > end.change_id):
        return None
    return end
