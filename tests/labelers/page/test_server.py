"""The calls of the page, over HTTP, against a run directory that was built without training."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from page_client import Browser, RefusedError, given, serving
from page_run import begin_run, publish, store_of

from lightning_badge.labels import SKIP

Tab = Callable[..., Browser]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def tab(run: Path) -> Iterator[Tab]:
    """Opens tabs of people at the page."""
    with serving(run) as url, ExitStack() as stack:
        yield lambda labeler="ann": stack.enter_context(closing(Browser(url, labeler)))


def ids_of(reply: Any) -> list[str]:
    return [item["id"] for item in reply["items"]]


def test_answers_are_stored_and_the_next_samples_come_with_the_reply(run: Path, tab: Tab) -> None:
    browser = tab()
    opened = browser.call("open", want=3)
    assert ids_of(opened) == ["0000", "0001", "0002"]
    assert opened["classes"] == ["cat", "dog", "other"]
    reply = browser.answer(opened["items"][0], 1, want=3)
    assert ids_of(reply) == ["0001", "0002", "0003"]
    assert (reply["progress"]["labels"], reply["progress"]["mine"]) == (1, 1)
    browser.answer(opened["items"][1], "skip", want=3)
    with store_of(run) as store:
        answers = store.answers()
    assert [(a.sample_id, a.label, a.annotator, a.round, a.rank) for a in answers] == [
        ("0000", 1, "ann", 0, 0),
        ("0001", SKIP, "ann", 0, 1),
    ]
    assert [answer.seconds for answer in answers] == [1.5, 1.5]


def test_tabs_get_different_samples_and_a_released_one_goes_to_the_next(tab: Tab) -> None:
    first, second = tab(), tab()
    assert ids_of(first.call("open", want=2)) == ["0000", "0001"]
    assert ids_of(second.call("open", want=2)) == ["0002", "0003"]
    assert first.call("release") == {}
    assert ids_of(second.call("next", want=4)) == ["0000", "0001", "0002", "0003"]


def test_an_undone_sample_comes_back_to_the_tab(run: Path, tab: Tab) -> None:
    browser, other = tab(), tab("bob")
    items = browser.call("open", want=2)["items"]
    browser.answer(items[0], 1, want=2)
    reply = browser.answer(items[0], "undo", want=2)
    assert ids_of(reply)[0] == "0000"
    assert reply["progress"]["labels"] == 0
    assert "0000" not in ids_of(other.call("open", want=5))


def test_a_request_that_is_sent_again_is_confirmed_and_counts_once(run: Path, tab: Tab) -> None:
    browser = tab()
    (item,) = browser.call("open", want=1)["items"]
    answer = given(item, 2)
    replies = [browser.call("answer", want=1, answers=[answer]) for _ in range(3)]
    assert [reply["confirmed"] for reply in replies] == [[answer["request"]]] * 3
    with store_of(run) as store:
        assert len(store.answers()) == 1


def test_one_wrong_answer_does_not_hold_up_the_others(run: Path, tab: Tab) -> None:
    browser = tab()
    items = browser.call("open", want=3)["items"]
    answers = [given(items[0], 1), given(items[1], 3), given(items[2], "undo"), given(items[2], 0)]
    reply = browser.call("answer", want=3, answers=answers)
    assert reply["confirmed"] == [answers[0]["request"], answers[3]["request"]]
    refused = {refusal["request"]: refusal["reason"] for refusal in reply["refused"]}
    assert "expected a class from 0 to 2" in refused[answers[1]["request"]]
    assert "nothing to undo" in refused[answers[2]["request"]]
    with store_of(run) as store:
        assert store.labels() == {"0000": 1, "0002": 0}


def test_a_call_that_is_no_call_is_refused_in_one_line(tab: Tab) -> None:
    browser = tab()
    with pytest.raises(RefusedError, match="400: want: expected an integer from 0 to 20"):
        browser.call("open", want=21)
