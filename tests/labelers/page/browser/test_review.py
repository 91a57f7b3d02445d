"""What was labeled can be looked through and corrected, and one sees why a sample is shown."""

from typing import Any

import pytest
from page_run import review

from lightning_badge.labels import UNDO

CARDS = "#review-rows [role=option]"


@pytest.fixture
def run(site: Any) -> Any:
    """Ana and Ben labeled two samples each; the model says 1, and is surer of later ids."""
    made = site(overlap=2)
    review(made.path, 0, made.ids, made.ids[:4])
    return made


@pytest.fixture
def ana(run: Any, person: Any) -> Any:
    come = person(run)
    come.label("0", "2", "1", "2")
    come.has_saved(4)
    ben = person(run, "Ben")
    ben.label("0", "1")  # the latest answer is in force
    ben.has_saved(2)
    return come


def cards(ana: Any, count: int) -> list[str]:
    """Returns the labels of the cards, once there are so many."""
    ana.waits_for(f"document.querySelectorAll('{CARDS}').length === {count}")
    found: list[str] = ana.page.locator(f"{CARDS} .label").all_text_contents()
    return found


def test_the_ways_to_look_through(run: Any, ana: Any) -> None:
    ana.press("!")
    ana.page.keyboard.type("blurred")
    ana.press("Enter")
    ana.sees("#notices", "is flagged")
    ana.press(",")
    assert sorted(cards(ana, 4)) == ["cat", "dog", "dog", "other"]
    ana.page.select_option("#review-by", "class")
    assert cards(ana, 1) == ["cat"]
    ana.page.select_option("#review-value", "1")
    assert cards(ana, 2) == ["dog", "dog"]
    ana.page.select_option("#review-by", "annotator")
    cards(ana, 4)
    ana.page.select_option("#review-value", "Ben")
    cards(ana, 2)
    ana.page.select_option("#review-by", "disagreement")
    cards(ana, 1)
    assert ana.page.text_content(f"{CARDS} .by") == "Ana: other, Ben: dog"
    ana.page.select_option("#review-by", "contradiction")
    assert cards(ana, 2) == ["other", "cat"]  # the surest first
    assert ana.page.text_content(f"{CARDS} .model") == "model: dog, 55 % sure"
    ana.page.select_option("#review-by", "flagged")
    assert cards(ana, 1) == ["no label"]
    assert ana.page.text_content(f"{CARDS} .comment") == "Ana: blurred"
    ana.press("Escape")
    assert ana.sample == "0004"


def test_one_or_many_are_corrected_by_keyboard(run: Any, ana: Any) -> None:
    ana.press(",")
    cards(ana, 4)  # the latest first
    first = ana.page.get_attribute(f"{CARDS} img", "alt")
    assert first == "Sample 0001"
    ana.press("ArrowRight", "2", "ArrowRight", "Space", "ArrowRight", "Space", "0")
    assert ana.page.locator(".corrected").count() == 3
    ana.press("Escape")
    ana.label("1")
    ana.sees("#labels", "5 of 30 labeled")
    corrections = [answer for answer in run.answers() if answer.seconds is None]
    assert len(corrections) == 3
    assert {answer.annotator for answer in corrections} == {"Ana"}
    assert [answer.label for answer in corrections] == [2, 0, 0]
    labels = run.labels()
    assert [labels[answer.sample_id] for answer in corrections] == [2, 0, 0]


def test_a_correction_is_taken_back(run: Any, ana: Any) -> None:
    before = run.labels()
    ana.press(",")
    cards(ana, 4)
    ana.page.click("text=Select page")
    ana.press("0")
    ana.waits_for("document.querySelectorAll('.corrected').length === 4")
    ana.press("Backspace")
    ana.waits_for("document.querySelectorAll('.corrected').length === 0")
    ana.press("Escape")
    ana.label("1")
    ana.sees("#labels", "5 of 30 labeled")
    after = run.labels()
    assert {key: after[key] for key in ("0000", "0002", "0003")} == {
        key: before[key] for key in ("0000", "0002", "0003")
    }
    assert UNDO not in [answer.label for answer in run.answers()]


@pytest.mark.long
def test_details_show_all_answers(run: Any, ana: Any) -> None:
    ana.press(",")
    cards(ana, 4)
    ana.page.select_option("#review-by", "disagreement")
    cards(ana, 1)
    ana.press("Escape", ",")
    cards(ana, 1)  # the same as before
    ana.page.focus(CARDS)
    ana.press("Enter")
    ana.sees("#details-text li", "Ben: dog")
    ana.sees("#details-text li", "Ana: other")
    ana.sees("#details-text", "The model's guess: dog")
    ana.sees("#details-sample img")


@pytest.mark.long
def test_several_classes_are_corrected_from_those_there_are(site: Any, person: Any) -> None:
    run = site(multilabel=True)
    ana = person(run)
    ana.label("0")
    ana.press("2", "Enter")
    ana.has_saved(1)
    ana.press(",")
    assert cards(ana, 1) == ["cat, other"]
    ana.press("ArrowRight", "1", "2", "Enter", "Escape")
    ana.label("Enter")
    ana.has_saved(2)
    assert run.labels() == {"0000": [1, 1, 0], "0001": [0, 0, 0]}


@pytest.mark.long
def test_many_classes_are_searched_in_the_review(site: Any, person: Any) -> None:
    run = site(kind="texts", classes=[f"class {number:02}" for number in range(30)])
    ana = person(run)
    ana.sees("#stage", "Text number 0.")
    ana.page.keyboard.type("05")
    ana.press("Enter")
    ana.has_saved(1)
    ana.press(",")
    assert cards(ana, 1) == ["class 05"]
    ana.press("ArrowRight")
    ana.page.keyboard.type("17")
    ana.press("Enter")
    assert cards(ana, 1) == ["class 17"]
    ana.press("Escape")
    ana.page.keyboard.type("00")
    ana.press("Enter")
    ana.has_saved(2)
    assert run.labels() == {"0000": 17, "0001": 0}


def test_why_this_sample(run: Any, ana: Any) -> None:
    ana.press(".")
    ana.sees("#why", "Rank 4 of the ordering of round 0")
    ana.sees("#why dd", "7.90")
    ana.sees("#why dd", "cat, 47 % sure")
    ana.waits_for("document.querySelectorAll('#why .nearest li').length === 3")
    assert ana.page.locator("#why .nearest li").all_text_contents() == ["cat", "dog", "dog"]
    ana.label("0")
    ana.sees("#why", "Rank 5 of")  # it follows what is on screen
    ana.press("Escape")
    assert not ana.page.is_visible("#why")
