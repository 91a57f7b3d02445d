import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compare.plan import PlannedCell
from compare.planned import check_again, have_equal_rows
from compare.shared_work import Results, cells_in, of_cells, stored, versions_in, work
from experiments.cells import cell

from lightning_badge.exceptions import BadgeError

CELLS = [cell(name, seed) for seed in range(3) for name in ("random", "badge")]
HERE = Path(__file__).parent


def rows_for(given: PlannedCell) -> list[dict]:
    return [
        {
            "round": round,
            "labels": 20 + 10 * round,
            "accuracy": 0.5 + 0.01 * given.seed,
            "balanced_accuracy": 0.5,
            "coverage": float("nan"),
            "seconds": 0.1,
        }
        for round in range(2)
    ]


def test_finished_cells_are_not_computed_again_before_or_after_a_merge(tmp_path: Path) -> None:
    computed = []

    def compute(given: PlannedCell) -> list[dict]:
        computed.append(given)
        return rows_for(given)

    assert [done for done, _ in work(CELLS[:2], Results(tmp_path), compute)] == CELLS[:2]
    assert list(work(CELLS[:2], Results(tmp_path), compute)) == []
    Results(tmp_path).merge()
    assert list((tmp_path / "parts").iterdir()) == []
    results = Results(tmp_path)
    assert [done for done, _ in work(CELLS, results, compute)] == CELLS[2:]
    assert computed == CELLS
    table = results.merge()
    assert table.num_rows == 2 * len(CELLS)
    assert have_equal_rows(table, pq.read_table(results.table_path))
    assert versions_in(table).startswith("torch ")
    assert "; " not in versions_in(table)


def test_versions_of_earlier_merges_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, given in (("1.0", CELLS[:2]), ("2.0", CELLS[2:4]), ("1.0", CELLS[4:])):
        monkeypatch.setattr("compare.shared_work.version", lambda name, number=number: number)
        results = Results(tmp_path)
        list(work(given, results, rows_for))
        table = results.merge()
    assert versions_in(table) == versions_in(stored(results.table_path))
    assert [text.split(",")[0] for text in versions_in(table).split("; ")] == [
        "torch 1.0",
        "torch 2.0",
    ]


def test_cells_that_another_experiment_has_finished_are_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("compare.shared_work.version", lambda name: "1.0")
    other = Results(tmp_path / "other")
    list(work([*CELLS[:3], cell("badge", 9)], other, rows_for))
    finished = other.merge()
    monkeypatch.setattr("compare.shared_work.version", lambda name: "2.0")
    results = Results(tmp_path / "ours")
    list(work(CELLS[:1], results, rows_for))
    for _ in range(2):
        results.take_over(finished, CELLS)
    computed = [given for given, _ in work(CELLS, Results(tmp_path / "ours"), rows_for)]
    assert computed == CELLS[3:]
    table = results.merge()
    assert have_equal_rows(table, _table_of(tmp_path / "alone", CELLS))
    assert [text.split(",")[0] for text in versions_in(table).split("; ")] == [
        "torch 1.0",
        "torch 2.0",
    ]


def _table_of(folder: Path, cells: list[PlannedCell]) -> pa.Table:
    results = Results(folder)
    list(work(cells, results, rows_for))
    return results.merge()


def test_a_table_names_how_much_of_the_experiment_it_has(tmp_path: Path) -> None:
    results = Results(tmp_path)
    list(work(CELLS[:4], results, rows_for))
    table = results.merge()
    assert (str(cells_in(table)), cells_in(table).are_all) == ("4", True)
    counted = cells_in(of_cells(table, 6))
    assert (str(counted), counted.are_all) == ("4 of 6", False)
    assert counted.hours == pytest.approx(0.4 / 3600)
    assert cells_in(of_cells(table, 4)).are_all
    assert versions_in(of_cells(table, 4)) == versions_in(table)


def test_the_order_in_which_cells_end_does_not_matter(tmp_path: Path) -> None:
    tables = []
    for name, cells in (("one", CELLS), ("two", CELLS[::-1])):
        results = Results(tmp_path / name)
        list(work(cells, results, rows_for))
        tables.append(results.merge())
    assert have_equal_rows(*tables)


def test_a_failed_cell_stops_no_other_and_is_computed_next_time(tmp_path: Path) -> None:
    def fail_once(given: PlannedCell) -> list[dict]:
        if given.seed == 1:
            raise ValueError("no luck")
        return rows_for(given)

    done = list(work(CELLS, Results(tmp_path), fail_once))
    assert [str(error) for given, error in done if error] == ["no luck", "no luck"]
    again = [given for given, _ in work(CELLS, Results(tmp_path), rows_for)]
    assert again == [given for given in CELLS if given.seed == 1]


def test_a_kill_between_table_and_parts_repeats_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path)
    list(work(CELLS, results, rows_for))

    def die(path: Path, missing_ok: bool = False) -> None:
        if not missing_ok:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", die)
        with pytest.raises(KeyboardInterrupt):
            results.merge()
    assert len(list((tmp_path / "parts").glob("*.parquet"))) == len(CELLS)
    assert Results(tmp_path).merge().num_rows == 2 * len(CELLS)


def hold(folder: Path, ready, done) -> None:
    with Results(folder).claim(CELLS[0]) as is_ours:
        assert is_ours
        ready.set()
        done.wait()


@pytest.mark.long
def test_another_process_leaves_a_claimed_cell_until_its_holder_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, ready, done))
    holder.start()
    assert ready.wait(120)
    computed = [given for given, _ in work(CELLS, Results(tmp_path), rows_for)]
    assert computed == CELLS[1:]
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    assert [given for given, _ in work(CELLS, Results(tmp_path), rows_for)] == CELLS[:1]


def test_a_cell_that_is_computed_again_is_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Results(tmp_path)
    list(work(CELLS, results, rows_for))
    table = results.merge()
    monkeypatch.setattr("compare.planned.computing", lambda folder: rows_for)
    check_again(CELLS, table, None, 2)
    assert capsys.readouterr().out.count("the same again: tiny linear") == 2

    def differ(given: PlannedCell) -> list[dict]:
        return [row | {"accuracy": 0.4999} for row in rows_for(given)]

    monkeypatch.setattr("compare.planned.computing", lambda folder: differ)
    with pytest.raises(BadgeError, match="computed again, its rows differ"):
        check_again(CELLS, table, None, 1)


@pytest.mark.long
def test_the_command_goes_on_after_a_kill_and_gives_the_same_table(tmp_path: Path) -> None:
    script = HERE.parents[1] / "scripts" / "compare_strategies.py"
    command = [
        *(sys.executable, str(script), "experiment=experiments_quick", "jobs=2"),
        "hydra.run.dir=.",
    ]

    def start(name: str) -> subprocess.Popen:
        return subprocess.Popen(
            [*command, f"out_dir={name}"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    killed = start("one")
    assert killed.stdout is not None
    lines = iter(killed.stdout.readline, "")
    first = next(line for line in lines if "linear" in line)
    assert first.startswith("digits linear random variable")
    killed.kill()
    killed.communicate()
    outputs = {}
    for name in ("one", "two"):
        again = start(name)
        outputs[name], _ = again.communicate()
        assert again.returncode == 0, outputs[name]
    finished = int(outputs["one"].split(" already finished")[0].split()[-1])
    assert finished >= 1
    tables = [pq.read_table(tmp_path / name / "results.parquet") for name in ("one", "two")]
    assert have_equal_rows(*tables)
    pages = [tmp_path / name / "experiments_quick.md" for name in ("one", "two")]
    one, two = (page.read_text().split("## Over all", 1)[1] for page in pages)
    assert one == two
