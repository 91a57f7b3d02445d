"""`lightning-badge budget` and `prioritise`: what they change, log, print and refuse."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_badge.app.budget_of_run import change_at_start, changed, make_budget
from lightning_badge.app.main import main
from lightning_badge.exceptions import BudgetError, RunDirectoryError
from lightning_badge.loop.budget import CostBudget, FixedBudget
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import write_ordering
from lightning_badge.sample_ids import as_sample_ids
from lightning_badge.store.budget_changes import budget_in_force
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.run_directory import RunDirectory
from lightning_badge.store.terms import terms_in_force

COST = {
    "_target_": "lightning_badge.CostBudget",
    "limit": 1.0,
    "k": 5,
    "per": "label",
    "price": 0.1,
    "column": None,
    "table": None,
}
FIXED = {"_target_": "lightning_badge.FixedBudget", "k": 5}
BOTH = {
    "_target_": "lightning_badge.AnyOfBudget",
    "_convert_": "all",
    "of": {"size": FIXED, "money": COST},
}
IDS = [f"camera_{n % 2}/{n}.png" for n in range(10)]


@pytest.fixture(autouse=True)
def path_of_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


def begin(path: Path, budget: Any = COST, **config: Any) -> Path:
    """Creates a run with one ordering, whose model guesses cat, cat, cat, dog, dog, ..."""
    whole = {"metric": "val/accuracy", "budget": budget, "class_names": ["cat", "dog"], **config}
    guesses = np.array([0, 0, 0, *[1] * 7], np.int64)
    with RunDirectory(path) as directory, LabelStore(directory.labels_path) as store:
        directory.ensure_identity(whole, ["budget"], begun=False)
        store.cut(0)
        directory.clear_round(0)
        ordering = Ordering(as_sample_ids(IDS), hallucinated_label=guesses)
        write_ordering(ordering, directory.ordering_path(0))
        directory.write_metrics(0, {"round": 0, "labeled": 0, "pool": 10, "seconds": 30.0})
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return begin(tmp_path / "run")


def command(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    main(list(map(str, arguments)))
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    with pytest.raises(SystemExit):
        main(list(map(str, arguments)))
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    return error


def next_of(run: Path, count: int = 99) -> list[Any]:
    with LabelStore(RunDirectory(run).labels_path) as store:
        from lightning_badge.store.class_list import ClassList

        guesses = np.array([0, 0, 0, *[1] * 7], np.int64)
        ordering = Ordering(as_sample_ids(IDS), hallucinated_label=guesses)
        query = Query(store, store.cuts(0)[-1], ordering, classes=ClassList(store, ["cat", "dog"]))
        query.allow(None)
        return [offer.sample_id for offer in query.peek(count)]


class TestBudget:
    def test_a_change_holds_and_is_logged(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        printed = command(capsys, "budget", run, "limit=0.3", "--as", "ann")
        assert printed.splitlines() == ["limit: 1.0 -> 0.3", "0.30 of 0.30 left (0.10 a label)"]
        assert len(next_of(run)) == 3
        command(capsys, "budget", run, "budget.limit=0.5", "price=0.25", "--as", "bob")
        assert len(next_of(run)) == 2
        facts = json.loads(command(capsys, "status", run, "--json"))
        assert [(it["who"], it["kind"], it["what"]) for it in facts["changes"]] == [
            ("ann", "budget", "limit: 1.0 -> 0.3"),
            ("bob", "budget", "limit: 0.3 -> 0.5, price: 0.1 -> 0.25"),
        ]
        assert facts["remains"] == "0.50 of 0.50 left (0.25 a label)"
        shown = command(capsys, "status", run)
        assert "budget: 0.50 of 0.50 left" in shown
        assert "limit: 1.0 -> 0.3" in shown

    def test_without_values_it_shows_the_budget(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        lines = command(capsys, "budget", run).splitlines()
        assert lines[:3] == ["limit=1.0", "k=5", "per=label"]
        command(capsys, "budget", run, "k=5")  # as it is
        with LabelStore(RunDirectory(run).labels_path) as store:
            assert store.changes.of("budget") == []

    @pytest.mark.parametrize(
        ("override", "message"),
        [
            ("limt=3", "no key 'limt' in the budget of this run, did you mean limit?"),
            ("size=3", "KEY=VALUE changes one of limit=1.0, k=5, per=label, price=0.1, column=n"),
            ("limit", "there is no key 'limit'"),
            ("limit=lots", "budget.limit: expected a sum of 0 or more, got 'lots'"),
            ("k=0", "budget.k: expected a positive integer, got 0"),
            ("column=price", "column 'price': expected a file of rows"),
        ],
    )
    def test_what_is_not_valid_is_one_line_and_changes_nothing(
        self, run: Path, capsys: pytest.CaptureFixture[str], override: str, message: str
    ) -> None:
        assert message in refused(capsys, "budget", run, "k=7", override)
        with LabelStore(RunDirectory(run).labels_path) as store:
            assert store.changes.of("budget") == store.changes.of("terms") == []

    def test_a_deadline_leaves_time_for_the_longest_training(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        deadline = {"_target_": "lightning_badge.DeadlineBudget", "k": 5, "spare_s": 0}
        config = {**deadline, "at": "2036-01-01T12:00+00:00", "zone": None}
        run = begin(tmp_path / "run", config)
        with LabelStore(RunDirectory(run).labels_path) as store:
            store.finish_round(0, query_size=5, seconds=90.0)
        printed = command(capsys, "budget", run, "at=2036-01-01T14:00+00:00")
        assert "labels until 2036-01-01 13:58+00:00" in printed

    def test_prices_of_a_column(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = run.parent / "prices.csv"
        rows = [f"{sample_id},{0.5 if n else 0.1}" for n, sample_id in enumerate(IDS)]
        table.write_text("\n".join(["sample_id,price", *rows]))
        command(capsys, "budget", run, "column=price", f"table={table}", "price=null")
        assert next_of(run) == IDS[:2]
        table.write_text("sample_id,price\na,cheap\n")
        error = refused(capsys, "budget", run, "column=price", "limit=2")
        assert "expected a price of 0 or more for sample a, got 'cheap'" in error

    def test_keys_of_several_budgets(self) -> None:
        assert changed(BOTH, ["limit=9"])["of"]["money"]["limit"] == 9
        assert changed(BOTH, ["of.size.k=9"])["of"]["size"]["k"] == 9
        assert changed(BOTH, ["size.k=9"])["of"] == {"size": {**FIXED, "k": 9}, "money": COST}
        with pytest.raises(BudgetError, match="several keys end with 'k'"):
            changed(BOTH, ["k=9"])
        schedule = {"_target_": "lightning_badge.ScheduleBudget", "sizes": [1, 2]}
        assert changed(schedule, ["sizes=[3,4]"])["sizes"] == [3, 4]

    def test_a_folder_without_a_run_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert "expected a run directory" in refused(capsys, "budget", tmp_path / "none", "k=3")


class TestStart:
    def start(self, run: Path, budget: Any, *, accept: bool = False) -> Any:
        """Acts as the start of a loop; returns the budget in force."""
        kept = {"budget": budget}
        with RunDirectory(run) as directory, LabelStore(directory.labels_path) as store:
            keys = change_at_start(kept, ["budget"], directory, store, accept=accept)
            directory.ensure_identity(kept, keys, begun=True)
            return make_budget(budget_in_force(store.changes, budget))

    def test_another_budget_must_be_accepted(self, run: Path) -> None:
        with pytest.raises(RunDirectoryError, match=r"budget.limit: 1.0 -> 2.*accept_changes=true"):
            self.start(run, {**COST, "limit": 2})
        assert self.start(run, {**COST, "limit": 2}, accept=True).limit == 2.0
        assert self.start(run, {**COST, "limit": 2}).limit == 2.0
        assert self.start(run, {**FIXED}, accept=True) == FixedBudget(5)
        with LabelStore(RunDirectory(run).labels_path) as store:
            changes = [change.facts["changes"] for change in store.changes.of("budget")]
        assert changes[0] == [{"key": "limit", "from": 1.0, "to": 2}]
        assert changes[1][0] == {"key": "budget", "from": "CostBudget", "to": "FixedBudget"}

    def test_the_same_command_goes_on_with_what_was_changed_since(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command(capsys, "budget", run, "limit=7")
        assert self.start(run, COST).limit == 7.0
        assert self.start(run, COST, accept=True).limit == 7.0
        # What is in force may be given, too, and is not logged again.
        assert self.start(run, {**COST, "limit": 7}).limit == 7.0
        with LabelStore(RunDirectory(run).labels_path) as store:
            assert len(store.changes.of("budget")) == 1
        assert self.start(run, COST, accept=True).limit == 1.0

    def test_a_kill_between_the_change_and_the_configuration_loses_nothing(self, run: Path) -> None:
        new = {**COST, "limit": 3}
        with RunDirectory(run) as directory, LabelStore(directory.labels_path) as store:
            change_at_start({"budget": new}, ["budget"], directory, store, accept=True)
        assert isinstance(self.start(run, new), CostBudget)
        with LabelStore(RunDirectory(run).labels_path) as store:
            assert len(store.changes.of("budget")) == 1
            assert terms_in_force(store.changes).money is None  # the loop commits them


class TestPriorities:
    def test_rules_hold_and_are_logged(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command(capsys, "prioritise", run).startswith("no rules")
        printed = command(capsys, "prioritise", run, "--first", "camera_1/**", "--as", "ann")
        assert printed == "first camera_1/**: 5 of the 10 samples of the newest ordering\n"
        assert next_of(run, 3) == IDS[1:6:2]
        command(capsys, "prioritise", run, "--exclude", "**/1.png")
        assert next_of(run, 3) == [IDS[3], IDS[5], IDS[7]]
        facts = json.loads(command(capsys, "status", run, "--json", "--next", "2"))
        assert [row["sample_id"] for row in facts["next_samples"]] == [IDS[3], IDS[5]]
        assert facts["changes"][0]["what"] == "first camera_1/**"
        assert command(capsys, "prioritise", run, "--clear").startswith("no rules")
        assert next_of(run, 3) == IDS[:3]
        facts = json.loads(command(capsys, "status", run, "--json"))
        assert [change["what"] for change in facts["changes"]][-1] == "clear"

    def test_guesses_and_quotas(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "1 of the 10" in command(capsys, "prioritise", run, "--quota", "dog=1")
        assert next_of(run, 2) == [IDS[3], IDS[0]]
        command(capsys, "prioritise", run, "--clear", "--exclude", "cat", "--guessed")
        assert next_of(run) == IDS[3:]

    def test_a_column_of_a_file(self, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = run.parent / "meta.csv"
        table.write_text(f"sample_id,light\n{IDS[4]},night\n{IDS[5]},day\n")
        given = ("--first", "ni*", "--column", "light", "--table", table)
        assert "1 of the 10" in command(capsys, "prioritise", run, *given)
        assert next_of(run, 2) == [IDS[4], IDS[0]]

    def test_a_pattern_that_matches_nothing_is_said(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        printed = command(capsys, "prioritise", run, "--first", "camera_7/**")
        assert printed.endswith("0 of the 10 samples of the newest ordering (nothing matches)\n")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--quota", "cow=3"), "no class 'cow'; there are cat, dog"),
            (("--quota", "cat"), "expected CLASS=NUMBER, got 'cat'"),
            (("--first", "a", "--column", "x", "--guessed"), "expected --column or --guessed"),
            (("--first", "a", "--table", "x.csv"), "--table: expected --column too"),
            (("--first", "a", "--column", "x"), "expected a file of rows"),
            (("--frist", "a"), "no option --frist, did you mean --first?"),
        ],
    )
    def test_what_is_not_valid_is_one_line(
        self, run: Path, capsys: pytest.CaptureFixture[str], options: Any, message: str
    ) -> None:
        assert message in refused(capsys, "prioritise", run, *options)
        with LabelStore(RunDirectory(run).labels_path) as store:
            assert store.changes.of("priorities") == []
