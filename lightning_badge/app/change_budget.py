"""Changes the budget of a run while it runs, or shows it."""

from collections.abc import Sequence
from pathlib import Path

from lightning_badge.app.budget_of_run import changed, make_budget
from lightning_badge.app.earlier_configs import upgraded
from lightning_badge.app.prices import commit_prices
from lightning_badge.app.status.run_files import read_config
from lightning_badge.app.who import user_name
from lightning_badge.loop.budget.base import terms_of
from lightning_badge.store.budget_changes import (
    budget_in_force,
    commit_budget,
    in_words,
    settings,
)
from lightning_badge.store.gate import Gate
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.terms import commit_terms


def run(run_dir: Path, overrides: Sequence[str], who: str | None) -> None:
    """Changes the budget of a run, and prints what changed and what remains.

    Args:
        run_dir: The run directory.
        overrides: Values such as ``limit=500``; none shows the budget.
        who: Who decides; None for the name of the user.

    Raises:
        BadgeError: No run directory, no such key, or a value that is not valid.
    """
    directory = RunDirectory(run_dir)
    config = upgraded(read_config(directory))
    with LabelStore(directory.labels_path) as store:
        # One transaction: of two people who change it at once, the second one sees the first.
        with store.leases.transaction():
            before = budget_in_force(store.changes, config["budget"])
            after = changed(before, overrides)
            budget = make_budget(after)
            who = who or user_name()
            found = commit_budget(store.changes, before, after, who=who, how="command")
            if found:
                commit_prices(store, budget, config)
                commit_terms(store.changes, terms_of(budget, _training_s(store)))
        for difference in found:
            print(in_words(difference))
        if not found:
            for key, value in settings(after).items():
                print(f"{key}={'null' if value is None else value}")
        gate = Gate(store)
        gate.spending.refresh()
        if remains := gate.remains():
            print(remains)


def _training_s(store: LabelStore) -> float:
    """Returns the longest time of a round so far, as `Past.training_s`."""
    return max((it.facts.get("seconds") or 0.0 for it in store.rounds()), default=0.0)
