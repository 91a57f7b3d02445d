import json
import math
from itertools import pairwise

import pytest
import torch
from compare import simulate
from compare.data_sets import Task
from compare.simulate import COLD, RANKED_ONCE, measured_sizes, run_cell
from experiments.cells import cell, tiny_task

from lightning_badge.ordering import STRATEGIES

pytest.importorskip("sklearn")

LINEAR = sorted(name for name, rule in STRATEGIES.items() if "posterior" not in rule.needs)
POSTERIOR = sorted(name for name, rule in STRATEGIES.items() if "posterior" in rule.needs)


def curve(rows: list[dict]) -> list[dict]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def task() -> Task:
    return tiny_task()


def test_every_strategy_asks_for_different_samples_up_to_the_end(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []
    starts = set()
    measure = simulate._Run.measure

    def remember(run: simulate._Run, labeled: list[int]) -> None:
        asked.append(list(labeled))
        measure(run, labeled)

    monkeypatch.setattr(simulate._Run, "measure", remember)
    for strategy in LINEAR:
        asked.clear()
        rows = run_cell(cell(strategy), task)
        assert [row["labels"] for row in rows] == [20, 30, 40, 50, 60]
        assert [row["round"] for row in rows] == [0, 1, 2, 3, 4]
        assert all(len(set(labeled)) == len(labeled) for labeled in asked)
        assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(asked))
        starts.add(tuple(asked[0]))
    assert len(starts) == 1


@pytest.mark.parametrize("strategy", sorted(RANKED_ONCE - {"random"}))
@pytest.mark.parametrize("start", ["random", "cold"])
def test_ranking_again_continues_the_order_where_it_is_ranked_once(
    task: Task, monkeypatch: pytest.MonkeyPatch, strategy: str, start: str
) -> None:
    once = curve(run_cell(cell(strategy, start=start), task))
    monkeypatch.setattr(simulate, "RANKED_ONCE", set())
    assert [
        {**row, "coverage": 0} for row in curve(run_cell(cell(strategy, start=start), task))
    ] == [{**row, "coverage": 0} for row in once]


@pytest.mark.parametrize("strategy", [*POSTERIOR, "uherding"])
def test_a_network_is_trained_afresh_and_equal_cells_give_equal_rows(
    task: Task, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    monkeypatch.setattr("compare.learners.STEPS", 3)
    for model in ("mlp", "cnn"):
        given = cell(strategy, model=model, end=40)
        before = torch.random.get_rng_state()
        first, second = (repr(curve(run_cell(given, task))) for _ in range(2))
        assert first == second
        assert torch.equal(torch.random.get_rng_state(), before)


def test_equal_cells_of_linear_heads_give_equal_rows_and_seeds_differ(task: Task) -> None:
    given = cell("badge", batches="variable")
    first, second = (repr(curve(run_cell(given, task))) for _ in range(2))
    assert first == second
    assert repr(curve(run_cell(cell("badge", seed=1, batches="variable"), task))) != first


def test_batches_and_start_are_the_same_for_all_strategies(task: Task) -> None:
    curves = [
        [(row["round"], row["labels"]) for row in run_cell(cell(name, batches="variable"), task)]
        for name in ("random", "badge", "coreset")
    ]
    assert curves[0] == curves[1] == curves[2]
    firsts = [run_cell(cell(name), task)[0]["accuracy"] for name in ("random", "badge")]
    assert firsts[0] == firsts[1]


def test_without_labels_a_strategy_that_needs_a_model_begins_with_the_default(task: Task) -> None:
    rows = {name: curve(run_cell(cell(name, start="cold"), task)) for name in (COLD, "margin")}
    assert [row["labels"] for row in rows["margin"]] == [10, 20, 30, 40, 50, 60]
    assert rows["margin"][0]["accuracy"] == rows[COLD][0]["accuracy"]


def test_coverage_is_that_of_the_query_up_to_the_row(task: Task) -> None:
    rows = run_cell(cell("badge", batches="40"), task)
    assert [row["labels"] for row in rows] == [20, 40, 60]
    assert math.isnan(rows[0]["coverage"])
    assert 0 < rows[1]["coverage"] < rows[2]["coverage"] < 1


def test_arguments_may_depend_on_the_size_of_the_batch(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict] = []
    order = simulate.order

    def remember(embedding, strategy, **arguments):
        given.append(arguments)
        return order(embedding, strategy, **arguments)

    monkeypatch.setattr(simulate, "order", remember)
    for strategy, name, value in (
        ("typiclust", "clusters", "labeled+k"),
        ("badge", "trials", "2+log k"),
    ):
        run_cell(cell(strategy, arguments=json.dumps({name: value}), end=40), task)
    assert [call.get("clusters", call.get("trials")) for call in given] == [30, 40, 4, 4]


def test_the_end_is_at_most_half_of_the_pool(task: Task) -> None:
    assert run_cell(cell(end=1000), task)[-1]["labels"] == 75


def test_sizes_that_all_runs_measure() -> None:
    assert measured_sizes(20, 160) == [20, 40, 80, 160]
    assert measured_sizes(0, 11) == [10, 11]
