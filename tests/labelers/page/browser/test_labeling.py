"""People label in a browser, and the store has what they said."""

from typing import Any

import pytest
from page_run import store_of

from lightning_badge.labels import SKIP, UNDO

CLASSES = [str(digit) for digit in range(10)]
INTENTS = ["card arrival", "card lost", "Change PIN", "lost phone", "top up by card"]
INTENTS += [f"intent {number}" for number in range(72)]


def test_a_key_answers_and_shows_the_next_sample(site: Any, person: Any) -> None:
    run = site(classes=CLASSES)
    ana = person(run)
    seen = []
    ana.sees_sample("0000")
    most = ana.counts_calls()
    for key in "314159265358":
        seen.append(ana.sample)
        ana.press("Shift", "Tab", "x", "F2")  # mean nothing here
        ana.page.evaluate("document.activeElement.blur()")
        ana.press(key)
    ana.has_saved(12)
    assert seen == run.ids[:12]
    assert run.given() == list(zip(seen, map(int, "314159265358"), strict=True))
    assert {answer.annotator for answer in run.answers()} == {"Ana"}
    assert [answer.rank for answer in run.answers()] == list(range(12))
    assert all(answer.seconds > 0 for answer in run.answers())
    assert ana.page.text_content("#labels") == "12 of 30 labeled"
    assert "round 0" in ana.page.text_content("#round")
    assert not ana.page.is_visible("#guess")  # the server sent none
    assert max(most) == 1, "two calls at once could arrive in another order"


def test_a_key_that_is_held_down_answers_once(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")
    for _ in range(5):
        ana.page.keyboard.down("1")  # the second one is a repetition
    ana.page.keyboard.up("1")
    ana.sees_sample("0001")
    ana.label("2")
    ana.has_saved(2)
    assert run.given() == [("0000", 1), ("0001", 2)]


def test_skip_and_undo_in_several_steps(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.label("0", "1", "ArrowRight", "2")
    assert ana.page.text_content("[data-command=undo]") == "Undo “other” ←"
    ana.sees_sample("0004")
    for back in ("0003", "0002", "0001"):
        ana.press("ArrowLeft" if back != "0002" else "Backspace")
        ana.sees_sample(back)
    ana.label("2", "1", "0")
    ana.sees_sample("0004")
    ana.has_saved(4)
    assert run.labels() == {"0000": 0, "0001": 2, "0002": 1, "0003": 0}
    assert [label for _, label in run.given()] == [0, 1, SKIP, 2, UNDO, UNDO, UNDO, 2, 1, 0]
    ana.press("ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft", "ArrowLeft")
    ana.sees_sample("0000")
    ana.has_saved(0)
    assert ana.page.is_disabled("[data-command=undo]")


def test_letters_answer_from_the_eleventh_class_on_and_command_nothing(
    site: Any, person: Any
) -> None:
    run = site(classes=[f"class {number}" for number in range(20)])
    ana = person(run)
    ana.label("a", "J", "9", "k")  # k is the key of no class
    ana.has_saved(3)
    assert [label for _, label in run.given()] == [10, 19, 9]
    assert ana.page.text_content("[data-class='10'] kbd") == "a"
    texts = "all => all.map(one => one.textContent)"
    keys = ana.page.eval_on_selector_all("#pad kbd", texts)
    commands = ana.page.evaluate(
        "import('/static/commands.js').then(all => all.COMMANDS.flatMap(one => one.keys))"
    )
    assert len(keys) == 20
    assert not set(keys) & set(commands)
    shown = ana.page.eval_on_selector_all("#commands kbd", texts)
    assert shown == ["→", "←", "+", "!", "/", "."]


def test_many_classes_are_searched_as_one_types(site: Any, person: Any) -> None:
    run = site(kind="texts", classes=INTENTS)
    ana = person(run)
    ana.sees("#stage", "Text number 0.")
    assert ana.page.text_content("#stage .text") == "Text number 0.\nIt has <b>two</b> lines."
    ana.page.keyboard.type("lost")
    options = "#pad [role=option]"
    assert ana.page.locator(options).all_text_contents() == ["lost phone", "card lost"]
    ana.press("ArrowDown", "Enter")
    ana.sees("#stage", "Text number 1.")
    assert ana.page.locator(options).count() == 77
    ana.press("Enter")  # nothing was typed: no answer
    ana.page.keyboard.type("pin")
    ana.press("Enter", "ArrowRight")  # the second sample, then a skip
    ana.page.keyboard.type("zzz")
    ana.sees("#pad li", "No class contains “zzz”.")
    ana.press("Enter", "Escape")
    ana.page.keyboard.type("CARD ar")
    ana.press("Enter", "ArrowLeft")
    ana.page.keyboard.type("72")
    ana.press("Escape")
    ana.page.keyboard.type("intent 71")
    ana.press("Enter")
    ana.has_saved(3)
    assert run.labels() == {"0000": 1, "0001": 2, "0003": 76}


def test_several_classes_a_sample(site: Any, person: Any) -> None:
    run = site(multilabel=True, kind="tables")
    ana = person(run)
    ana.sees("#stage th", "color")
    cells = ana.page.locator("#stage :is(th, td)").all_text_contents()
    assert cells == ["size", "0", "color", "blue", "weight", ""]
    ana.label("0", "2", "0", "1")
    assert ana.page.get_attribute("[data-class='1']", "aria-pressed") == "true"
    assert ana.page.get_attribute("[data-class='0']", "aria-pressed") == "false"
    ana.press("Enter", "Enter")
    ana.press("0")
    ana.page.click("text=Confirm")
    ana.has_saved(3)
    assert run.labels() == {"0000": [0, 1, 1], "0001": [0, 0, 0], "0002": [1, 0, 0]}


@pytest.mark.long
def test_several_of_many_classes(site: Any, person: Any) -> None:
    run = site(multilabel=True, kind="texts", classes=INTENTS)
    ana = person(run)
    ana.sees("#stage", "Text number 0.")
    for typed in ("card ar", "pin"):
        ana.page.keyboard.type(typed)
        ana.press("Enter")
    assert ana.page.text_content("#pad .chosen") == "Chosen: card arrival, Change PIN"
    ana.press("Enter")
    ana.has_saved(1)
    assert [number for number, has in enumerate(run.labels()["0000"]) if has] == [0, 2]


def test_a_new_class(site: Any, person: Any) -> None:
    run = site(accept_changes=True)
    ana, ben = person(run), person(run, "Ben")
    ana.label("*")
    ana.page.keyboard.type(" grey\u00a0goose ")
    ana.press("Enter")
    ana.sees("#pad .class", "grey goose")
    ana.label("3")
    ana.has_saved(2)
    assert list(run.labels().values()) == [3, 3]
    ben.label("0")
    ben.sees("#pad .class", "grey goose")


@pytest.mark.long
def test_a_guess_is_shown_if_the_server_sends_it(site: Any, person: Any) -> None:
    ana = person(site(guess=True))
    ana.label("0")
    ana.sees_sample("0001")
    assert ana.page.text_content("#guess") == "The model's guess: dog, 42 % sure"
    assert ana.page.locator(".guessed").all_text_contents() == ["dog 1"]


def test_a_flag_is_a_comment_and_no_answer(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.label("0", "!")
    ana.page.keyboard.type("blurred, 2 cats!")
    ana.press("Enter")
    ana.sees("#notices", "Sample 0001 is flagged.")
    ana.sees_sample("0001")
    with_flag = {"sample_id": "0001", "annotator": "Ana", "comment": "blurred, 2 cats!"}
    with store_of(run.path) as store:
        assert [change.facts for change in store.changes.of("flag")] == [with_flag]
    assert len(run.given()) == 1


def test_zoom_by_key_and_by_double_tap(site: Any, person: Any) -> None:
    ana = person(site())
    ana.sees_sample("0000")
    widths = []
    for _ in range(4):
        widths.append(ana.page.locator("#stage img").bounding_box()["width"])
        ana.press("+")
    assert [round(width / widths[0]) for width in widths] == [1, 2, 4, 1]
    ana.press("Escape")
    ana.page.dblclick("#stage")
    assert ana.page.locator("#stage img").bounding_box()["width"] > 2 * widths[0]
    ana.label("0")
    ana.sees_sample("0001")
    assert ana.page.locator("#stage img").bounding_box()["width"] == widths[0]


def test_zoom_by_pinch(site: Any, person: Any, phone: Any) -> None:
    ana = person(site(), on=phone)
    ana.sees_sample("0000")
    before = ana.page.locator("#stage img").bounding_box()["width"]
    fingers = ana.page.context.new_cdp_session(ana.page)
    for kind, apart in (("touchStart", 20), ("touchMove", 40), ("touchMove", 60)):
        points = [{"x": 195 - apart, "y": 300, "id": 0}, {"x": 195 + apart, "y": 300, "id": 1}]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    after = ana.page.locator("#stage img").bounding_box()["width"]
    assert after == pytest.approx(3 * before, rel=0.05)


def test_guidelines_and_examples_are_one_key_away(site: Any, person: Any) -> None:
    run = site(guidelines="<h2>What to do</h2><p>Look at the <em>ears</em>.</p>")
    ana = person(run)
    ana.label("1")
    ana.has_saved(1)
    ana.press("/")
    ana.sees("#guidelines-text em", "ears")
    ana.sees('#examples img[alt="Sample 0000"]')
    assert ana.page.locator("#examples li").all_text_contents() == [
        "No example yetcat",
        "dog",
        "No example yetother",
    ]
    ana.press("1")  # answers nothing while the dialog is open
    ana.press("/", "2")
    ana.has_saved(2)
    assert [label for _, label in run.given()] == [1, 2]


def test_the_help_lists_the_keys(site: Any, person: Any) -> None:
    ana = person(site())
    ana.sees_sample("0000")
    ana.press("?")
    shown = ana.page.locator("#help-keys dt").all_text_contents()
    assert shown == ["0 to 2", "→", "←", "+", "!", "/", ".", ",", "?", "Esc"]
    ana.page.uncheck("#single-keys")  # for people who dictate to their browser
    ana.press("Escape", "1")
    ana.page.click("[data-class='2']")
    ana.has_saved(1)
    assert ana.page.text_content("[data-command=undo] span") == "Undo “other”"


@pytest.mark.long
def test_two_people_never_have_the_same_sample(site: Any, person: Any) -> None:
    run = site(count=24)
    ana, ben = person(run), person(run, "Ben")
    for _ in range(8):
        ana.label("0")
        ben.label("1")
    for one in (ana, ben):
        one.has_saved(8)
    given = run.given()
    assert len({sample for sample, _ in given}) == len(given) == 16
    people = {answer.sample_id: answer.annotator for answer in run.answers()}
    assert sorted(people.values()) == ["Ana"] * 8 + ["Ben"] * 8


@pytest.mark.long
def test_another_person_goes_on_in_the_same_tab(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.label("0")
    ana.has_saved(1)
    ana.page.click("#name")
    ana.page.fill("#name-field", "Ben")
    ana.press("Enter")
    ana.has_saved(0)
    assert ana.page.is_disabled("[data-command=undo]")  # Ben answered nothing
    ana.label("1")
    ana.has_saved(1)
    assert [(answer.annotator, answer.label) for answer in run.answers()] == [
        ("Ana", 0),
        ("Ben", 1),
    ]
    assert run.answers()[1].sample_id == "0001"
