import re

import pyarrow as pa
import pytest
from compare.measured import settings_in
from compare.questions import between_batches, between_contestants, choices
from compare.questions_page import answers_in, questions_page, sentences
from experiments.tables_of_results import results, variant

pytest.importorskip("scipy")


def test_batches_are_compared_by_seed_and_random_is_the_control() -> None:
    tables = [
        results({"random": 0.0, "badge": height}, batches=batches)
        for batches, height in (("10", 0.05), ("200", 0.02))
    ]
    settings = settings_in(pa.concat_tables(tables))
    found = {one.name: one for one in between_batches(settings, "10", "200")}
    assert found["badge"].mean == pytest.approx(3, abs=0.5)
    assert found["random"].mean == pytest.approx(0, abs=0.5)
    assert found["badge"].data_sets == 3
    ahead = between_batches(settings, "10", "200", ahead_of_baseline=True)
    assert {one.name: one.mean for one in ahead}["random"] == 0
    assert between_batches(settings, "10", "50") == []


def test_contestants_of_one_setting_are_compared() -> None:
    fresh = variant("badge", trials="2+log k")
    settings = settings_in(results({"random": 0, "badge": 0.03, fresh: 0.05}, batches="50"))
    found = between_contestants(settings, "badge trials=2+log k", "badge", "50")
    assert found is not None
    assert found.mean == pytest.approx(2, abs=0.5)
    assert between_contestants(settings, "badge trials=2+log k", "badge", "10") is None


def test_arguments_are_chosen_on_half_a_and_reported_on_half_b() -> None:
    two, four = variant("badge", trials=2), variant("badge", trials=4)
    on_a = results({"random": 0, "badge": 0.02, two: 0.05, four: 0.01}, data=("letter", "vehicle"))
    on_b = results({"random": 0, "badge": 0.02, two: 0.00, four: 0.09}, data=("digits", "mnist"))
    (found,) = choices(settings_in(pa.concat_tables([on_a, on_b])))
    assert (found.strategy, found.chosen) == ("badge", "badge trials=2")
    assert found.on_a[found.chosen].mean == pytest.approx(3, abs=0.8)
    assert found.on_b[found.chosen].mean == pytest.approx(-2, abs=0.8)
    assert found.on_b["badge trials=4"].mean == pytest.approx(7, abs=0.8)
    assert "badge" not in found.on_a
    assert choices(settings_in(on_a)) == []


def test_the_page_has_a_section_for_each_question_that_the_tables_answer() -> None:
    fresh, two = variant("badge", trials="2+log k"), variant("badge", trials=2)
    heights = {"random": 0, "badge": 0.02, fresh: 0.04}
    tables = [results(heights, batches=batches) for batches in ("10", "50", "200")]
    tables.append(results({"random": 0, "badge": 0.03, two: 0.06}, batches="variable"))
    answers = answers_in(tables)
    page = questions_page(answers)
    assert page is not None
    heads = [line for line in page.splitlines() if line.startswith("## ")]
    assert heads == ["## Batches", "## Prefixes", "## Arguments"]
    assert re.search(r"\| \*\*badge\*\* \| \+(0\.[6-9]|1\.[0-4]) ", page)  # variable - 50
    assert re.search(r"\| \*\*badge trials=2\+log k - badge\*\* \| \+(1\.[6-9]|2\.[0-4]) ", page)
    assert "| **badge trials=2** | chosen | +" in page
    assert "| badge |  |  |  |" in page
    for sentence in sentences(answers):
        assert sentence in page
        tables_alone = page.partition("## Batches")[2]
        for number in re.findall(r"[+-]\d\.\d ± \d\.\d", sentence):
            assert number in tables_alone
    assert questions_page(answers_in([results({"random": 0, "badge": 0.1})])) is None
    assert sentences(answers_in([])) == []


def test_sentences_tell_what_was_found_apart_from_nothing() -> None:
    tables = [
        results({"random": 0.0, "badge": height, "margin": 0.02}, batches=batches)
        for batches, height in (("10", 0.07), ("200", 0.02))
    ]
    (said,) = sentences(answers_in(tables))
    assert said.startswith("- Ranking again every 10 labels instead of every 200: from `margin` ")
    assert re.search(r"by the 95 % intervals: `badge` \+[45]\.\d ± \d\.\d\.$", said)
    three = variant("badge", trials=3)
    for height, says in ((0.01, "`badge`: no other arguments did better"), (0.05, "trials=3` did")):
        heights = {"random": 0, "badge": 0.03, three: height}
        table = results(heights, data=("letter", "vehicle", "digits"), batches="variable")
        (said,) = sentences(answers_in([table]))
        assert says in said


def test_of_settings_in_several_tables_the_one_with_most_seeds_counts() -> None:
    few = results({"random": 0.0, "badge": 0.3}, batches="10", seeds=3)
    many = results({"random": 0.0, "badge": 0.05}, batches="10", seeds=6)
    other = results({"random": 0.0, "badge": 0.02}, batches="200", seeds=6)
    for tables in ((few, many, other), (many, few, other)):
        settings = [one for table in tables for one in settings_in(table)]
        found = {one.name: one for one in between_batches(settings, "10", "200")}
        assert found["badge"].mean == pytest.approx(3, abs=0.5)
