"""Sets which samples of a run come first, and which are not asked for; or shows the rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_badge.app.status.run_files import RunFiles, read_run
from lightning_badge.app.suggestions import did_you_mean
from lightning_badge.app.who import user_name
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import label_text
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.columns import write_column
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.priorities import (
    EXCLUDE,
    FIRST,
    GUESS,
    QUOTA,
    Described,
    Rule,
    columns_of,
    commit_rules,
    named_by,
    rules_in_force,
)
from lightning_badge.store.run_directory import RunDirectory


@dataclass(frozen=True)
class Given:
    """What a command says.

    Attributes:
        first: Globs of samples that come first.
        exclude: Globs of samples that are not asked for.
        quota: Number of samples by guessed class.
        by: What the globs match, as in `Rule`.
        table: The file with the column that they match; None for that of the data.
        clear: Whether earlier rules are withdrawn.
    """

    first: Sequence[str]
    exclude: Sequence[str]
    quota: Mapping[str, int]
    by: str
    table: Path | None
    clear: bool

    def rules(self) -> list[Rule]:
        """Returns the rules."""
        globs = ((FIRST, self.first), (EXCLUDE, self.exclude))
        rules = [Rule(action, tuple(given), self.by) for action, given in globs if given]
        return rules + ([Rule(QUOTA, quota=dict(self.quota))] if self.quota else [])


def run(run_dir: Path, given: Given, who: str | None) -> None:
    """Adds rules, or shows those in force.

    Args:
        run_dir: The run directory.
        given: What the command says.
        who: Who decides; None for the name of the user.

    Raises:
        BadgeError: No run directory, no such column or class.
    """
    files = read_run(run_dir)
    new = given.rules()
    _check_classes(new, files)
    column = new[0].column if new else None
    values = None if column is None else _column(files, given.table, column)
    with LabelStore(RunDirectory(run_dir).labels_path) as store:
        with store.leases.transaction():
            before = rules_in_force(store.changes)
            rules = [*([] if given.clear else before), *new]
            if column is not None and values is not None:
                write_column(store.changes, column, values)
            if new or (given.clear and before):
                words = [*(["clear"] if given.clear else []), *map(str, new)]
                change = "; ".join(words)
                commit_rules(store.changes, rules, who=who or user_name(), change=change)
        described = Described(Guesses(files), columns_of(store.changes, rules))
    for rule in rules:
        print(_shown(rule, files, described))
    if not rules:
        print("no rules: samples come in the order of the ordering")


def _shown(rule: Rule, files: RunFiles, described: Described) -> str:
    if files.ordering is None:
        return str(rule)
    ids: list[SampleId] = files.ordering.sample_ids.tolist()
    matched = len(named_by(rule, ids, described))
    hint = "" if matched else " (nothing matches)"
    return f"{rule}: {matched:,} of the {len(ids):,} samples of the newest ordering{hint}"


def _check_classes(rules: Sequence[Rule], files: RunFiles) -> None:
    """Raises a LabelError for a quota of a class that the run does not have."""
    if files.class_names is None:
        return
    for name in (name for rule in rules for name in rule.quota):
        if name not in files.class_names:
            raise LabelError(
                f"--quota: no class {name!r}{did_you_mean(name, list(files.class_names))}; there "
                f"are {', '.join(files.class_names)}"
            )
    has_guesses = files.ordering is None or files.ordering.hallucinated_label is not None
    if not has_guesses and any(rule.action == QUOTA or rule.by == GUESS for rule in rules):
        raise LabelError(
            f"{files.path}: the newest ordering has no guessed classes; priorities by class need a "
            "strategy that writes them, such as badge"
        )


class Guesses:
    """The names of the predicted classes of an ordering, by sample id."""

    def __init__(self, files: RunFiles) -> None:
        self._of: dict[SampleId, str] = {}
        ordering = files.ordering
        if ordering is not None and ordering.hallucinated_label is not None:
            guessed = zip(
                ordering.sample_ids.tolist(), ordering.hallucinated_label.tolist(), strict=True
            )
            self._of = {key: label_text(number, files.class_names) for key, number in guessed}

    def __call__(self, sample_id: SampleId) -> str | None:
        """Returns the name of the predicted class of a sample; None if it has none."""
        return self._of.get(sample_id)


def _column(files: RunFiles, table: Path | None, name: str) -> dict[str, object]:
    from lightning_badge.app.sample_columns import column_of

    return column_of(files.config, table, name)
