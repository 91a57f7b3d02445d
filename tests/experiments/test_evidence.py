from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from compare import data_sets
from compare.evidence import advices, budget_areas, default_of, penalties, standings
from compare.evidence_page import write_evidence
from compare.measured import settings_in
from experiments.tables_of_results import results

from lightning_badge.exceptions import BadgeError

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
    assert {one.kind for one in found} == {"few classes"}
    high = next(one for one in found if one.budget == "high")
    assert (high.strategy, high.settings, high.worst) == ("badge", 3, "satimage")
    low, end = high.saved.interval()
    assert low < high.saved.share < end
    assert high.default_saved.share < high.saved.share


def test_only_seeds_that_all_contestants_have_count() -> None:
    table = results({"random": 0, "badge": 0.1}, seeds=5)
    is_there = [row["strategy"] == "random" or row["seed"] < 3 for row in table.to_pylist()]
    (setting, *_) = settings_in(table.filter(pa.array(is_there)))
    assert setting.seeds == (0, 1, 2)
    with pytest.raises(BadgeError, match="expected a setting with 2 seeds"):
        settings_in(results({"random": 0, "badge": 0.1}, seeds=1))


@pytest.mark.long
def test_page_and_pictures_are_the_same_from_the_stored_table(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    heights = {"random": 0, "badge": 0.1, "uherding": 0.12, "typiclust": 0.05}
    table = results(heights, seeds=10)
    pq.write_table(table, tmp_path / "stored.parquet")
    for name in ("one", "two"):
        write_evidence(pq.read_table(tmp_path / "stored.parquet"), tmp_path / name, "part")
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / n).iterdir()} for n in ("one", "two")
    )
    assert one.keys() == {"part.md", "part_curves.png", "part_penalties.png"}
    assert one == two
    page = one["part.md"].decode()
    assert "By the rules the default of `data=folder` is `uherding`." in page
    assert "3 settings, 10 seeds each, 120 cells" in page
    write_evidence(results(heights, seeds=9), tmp_path, "part")
    assert "With fewer than 10 seeds no default is chosen." in (tmp_path / "part.md").read_text()


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
