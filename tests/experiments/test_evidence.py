from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from compare import data_sets
from compare.advice import Advice, advices
from compare.evidence import (
    budget_areas,
    default_of,
    default_over,
    effects,
    penalties,
    standings,
)
from compare.evidence_page import write_evidence
from compare.evidence_text import default_words, in_short
from compare.measured import in_points, settings_in
from experiments.tables_of_results import results, variant

from lightning_badge.exceptions import BadgeError
from lightning_badge.ordering import STRATEGIES

pytest.importorskip("scipy")


def test_standings_are_sorted_by_area_and_count_losses_per_setting() -> None:
    found = standings(
        settings_in(results({"random": 0, "badge": 0.1, "margin": 0.1, "entropy": -0.1}))
    )
    by_name = {one.name: one for one in found}
    assert {one.name for one in found[:2]} == {"badge", "margin"}
    assert [one.name for one in found[2:]] == ["random", "entropy"]
    assert by_name["badge"].ahead == pytest.approx(10, abs=0.7)
    assert by_name["badge"].losses == 0
    assert by_name["badge"].wins == pytest.approx(6)  # over two strategies in three settings
    assert by_name["entropy"].losses == pytest.approx(9)
    assert by_name["random"].balanced == pytest.approx(by_name["random"].area - 10)


def test_the_default_has_the_fewest_losses_then_the_largest_area_and_needs_no_package() -> None:
    settings = settings_in(results({"random": 0, "badge": 0.1, "margin": 0.101, "typiclust": 0.3}))
    assert default_of(standings(settings)).name in ("badge", "margin")
    found = standings(settings)
    able = [one for one in found if one.name in ("badge", "margin")]
    if able[0].losses == able[1].losses:
        assert default_of(found).name == max(able, key=lambda one: one.area).name


def test_a_penalty_is_a_share_of_the_sizes() -> None:
    matrix = penalties(settings_in(results({"random": 0, "badge": 0.2})))
    assert matrix[1, 0] == pytest.approx(3)
    assert matrix[0].tolist() == [0, 0]


def test_budgets_are_apart_and_uncovered_ones_do_not_count() -> None:
    settings = settings_in(results({"random": 0, "badge": 0.1}))
    low = budget_areas(settings, "low")  # 20 labels are two a class, except for letter
    assert low["badge"][2] == 1
    assert np.isnan(low["badge"][1])
    middle, high = (budget_areas(settings, budget)["badge"] for budget in ("middle", "high"))
    assert middle[2] == 3
    assert high[2] == 2  # letter: 260 to 300 labels are too short a part
    assert middle[0] == pytest.approx(10, abs=1)


def test_advice_names_the_strategy_that_saves_most_and_where_it_saves_least() -> None:
    tables = [
        results({"random": 0, "badge": 0.1, "margin": 0.02}, data=("digits", "vowel")),
        results({"random": 0, "badge": 0.01, "margin": 0.02}, data=("satimage",)),
    ]
    found = advices(settings_in(pa.concat_tables(tables)), "margin")
    advice = {(one.kind, one.budget): one for one in found}
    assert {kind for kind, _ in advice} == {"few classes"}
    high = advice["few classes", "high"]
    assert (high.strategy, high.data_sets, high.worst) == ("badge", 3, "satimage")
    low, end = high.saved.interval()
    assert low < high.saved.share < end
    assert high.too_thin is None
    assert high.reference_saved.share < high.saved.share
    assert high.worst_saved.share < high.saved.share
    assert high.worst_ahead[0] == pytest.approx(1, abs=0.9)  # points, at 300 labels


def test_one_data_set_or_an_interval_with_0_is_too_thin_for_an_advice() -> None:
    def high(heights: dict[str, float], data: tuple[str, ...]) -> Advice:
        found = advices(settings_in(results(heights, data=data)), "badge")
        return next(one for one in found if isinstance(one, Advice) and one.budget == "high")

    assert high({"random": 0, "badge": 0.1}, ("digits",)).too_thin == "one data set"
    assert high({"random": 0, "badge": 0.1}, ("digits", "vowel")).too_thin is None
    worse = high({"random": 0, "badge": -0.1}, ("digits", "vowel"))
    assert worse.too_thin == "the interval contains 0"
    assert worse.worst_ahead[0] == pytest.approx(-10, abs=1)


def test_effects_tell_where_a_strategy_helps_and_where_it_hurts() -> None:
    tables = [
        results({"random": 0, "badge": 0.1, "margin": 0.02}, data=("digits", "vowel")),
        results({"random": 0, "badge": -0.1, "margin": 0.05}, data=("satimage",)),
    ]
    badge, margin = (
        next(one for one in effects(settings_in(pa.concat_tables(tables))) if one.name == name)
        for name in ("badge", "margin")
    )
    assert (badge.helped, badge.hurt, badge.settings) == (2, 1, 3)
    assert badge.worst.data == "satimage"
    assert badge.worst_ahead[0] == pytest.approx(-10, abs=1)
    assert margin.best.data == "satimage"
    assert badge.ahead[0] == pytest.approx(10 / 3, abs=1)


@pytest.mark.parametrize("data", [("digits", "letter"), ("digits", "letter", "mnist")])
def test_of_two_data_sets_each_is_told_and_no_interval_over_them(data: tuple[str, ...]) -> None:
    settings = settings_in(results({"random": 0.0, "badge": 0.1, "margin": 0.05}, data=data))
    found = effects(settings)
    sentences = "\n".join(in_short(standings(settings), found, []))
    over_all = [in_points(*one.ahead) for one in found]
    by_each = [in_points(*one.best_ahead) for one in found]
    by_each += [in_points(*one.worst_ahead) for one in found]
    told, untold = (by_each, over_all) if len(data) == 2 else (over_all[:1], [])
    assert all(words in sentences for words in told)
    assert not any(words in sentences for words in untold)
    assert (f"({found[0].best.data})" in sentences) == (len(data) == 2)


def test_the_default_is_chosen_where_all_candidates_ran_each_cell_once() -> None:
    able = sorted(set(STRATEGIES) - {"bald", "batchbald", "probcover", "typiclust"})
    heights = dict.fromkeys(able, 0.05) | {"random": 0, "margin": 0.1}
    all_ran = results(heights, seeds=10)
    some_ran = results({"random": 0, "badge": 0.3}, seeds=10, batches="50")
    variants = results({"random": 0, variant("entropy", x=1): 0.4}, seeds=10)
    found = default_over([all_ran, all_ran, some_ran, variants])
    assert found is not None
    assert found.chosen.name == "margin"
    assert found.runner_up.losses >= found.chosen.losses
    assert found.reference.name == "badge"
    assert found.settings == {"linear": 3}
    assert found.comparisons == 3 * (len(able) - 1)
    assert "is `margin`, here: where all candidates ran (3 of `linear`)" in default_words(
        found, "here"
    )
    assert default_over([some_ran]) is None
    assert default_over([results(heights, seeds=9)]) is None


def test_only_seeds_that_all_contestants_have_count() -> None:
    table = results({"random": 0, "badge": 0.1}, seeds=5)
    is_there = [row["strategy"] == "random" or row["seed"] < 3 for row in table.to_pylist()]
    (setting, *_) = settings_in(table.filter(pa.array(is_there)))
    assert setting.seeds == (0, 1, 2)
    with pytest.raises(BadgeError, match="expected a setting with 2 seeds"):
        settings_in(results({"random": 0, "badge": 0.1}, seeds=1))


@pytest.mark.long
def test_a_page_needs_the_table_alone_and_has_all_sections(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    heights = {"random": 0, "badge": 0.1, "uherding": 0.12}
    page = write_evidence(results(heights, data=("digits", "mnist")), tmp_path, "part").read_text()
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"part.md", "part_curves.png", "part_penalties.png"}
    assert "`uherding` has the largest mean area: +1" in page
    assert "2 data sets, 6 seeds each, 36 cells" in page
    assert "There are too few seeds or strategies over this part alone to choose" in page
    assert "Not finished" not in page
    heads = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert heads == [
        *("In short", "Labels saved", "Over all data sets"),
        *("Where each helps, and where it hurts", "Low, middle and high budgets", "By data set"),
        *("Is it worth going on?", "Coverage as a stopping rule", "Penalty matrix"),
    ]


@pytest.mark.parametrize("name", ["breast_cancer", "digits"])
def test_test_parts_are_fixed_and_hidden(name: str) -> None:
    pytest.importorskip("sklearn")
    first, second = (data_sets.load_task(name, None) for _ in range(2))
    assert (first.test_inputs == second.test_inputs).all()
    assert first.classes == data_sets.CLASSES[name]
    pool = {tuple(row.tolist()) for row in first.inputs.flatten(1)}
    assert not pool & {tuple(row.tolist()) for row in first.test_inputs.flatten(1)}


def test_every_data_set_has_its_classes_and_a_half() -> None:
    assert data_sets.CLASSES.keys() == data_sets.TASKS.keys()
    assert set(data_sets.HALF_A) < set(data_sets.TASKS)
    assert len(data_sets.HALF_A) == len(data_sets.TASKS) // 2


def test_a_pareto_law_over_classes_keeps_rare_ones() -> None:
    classes = np.repeat(np.arange(20), 100)
    counts = np.sort(np.bincount(classes[data_sets.pareto_rows(classes, 0.7)]))[::-1]
    assert counts.tolist() == [int(np.ceil(100 * rank**-0.7)) for rank in range(1, 21)]


def test_a_missing_folder_is_one_line() -> None:
    with pytest.raises(BadgeError, match="plan.folder: expected a folder with letter/dev_letter"):
        data_sets.load_task("letter", None)
    with pytest.raises(BadgeError, match=r"plan.data: expected some of banking77, .* got 'nope'"):
        data_sets.load_task("nope", None)
