"""The calls of the page, over HTTP, against a run directory that was built without training."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from page_client import Browser, RefusedError, given, serving, waits_until
from page_run import begin_run, publish, store_of
from page_run import ids_of as ids_of_run

from lightning_badge.labelers.page import published
from lightning_badge.labels import SKIP
from lightning_badge.store.run_directory import RunDirectory

Tab = Callable[..., Browser]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def tab(run: Path) -> Iterator[Tab]:
    with served(run) as tab:
        yield tab


@contextmanager
def served(run: Path, **arguments: Any) -> Iterator[Tab]:
    """Yields what opens tabs of people at the page."""
    with serving(run, **arguments) as url, ExitStack() as stack:
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
    with pytest.raises(RefusedError, match="400: labeler: expected a name of a person, got model:"):
        tab("model:m").call("open", want=1)
    with pytest.raises(RefusedError, match="400: want: expected an integer from 0 to 20"):
        browser.call("open", want=21)


def test_a_newer_ordering_is_in_use_without_a_restart(run: Path, tab: Tab) -> None:
    browser, ids = tab(), ids_of_run(30)
    (item,) = browser.call("open", want=1)["items"]
    with store_of(run) as store:
        store.cut(1)
    assert browser.call("heartbeat")["progress"]["state"] == "training"
    publish(run, 1, ids[:0:-1])
    waits_until(lambda: browser.call("heartbeat")["progress"]["round"] == 1)
    # The sample on the screen keeps its lease, and its answer belongs to the round that asked.
    reply = browser.call("next", want=3)
    assert [(item["id"], item["round"]) for item in reply["items"]] == [
        ("0029", 1),
        ("0028", 1),
        ("0027", 1),
    ]
    assert reply["progress"]["state"] == "labeling"
    browser.answer(item, 2)
    with store_of(run) as store:
        (answer,) = store.answers()
    assert (answer.round, answer.rank) == (0, 0)


def test_the_states_of_a_run(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunDirectory(path):
        pass
    with served(path) as tab:
        browser = tab()

        def state() -> Any:
            return browser.call("next", want=1)["progress"]["state"]

        assert (browser.call("open", want=1)["items"], state()) == ([], "starting")
        with pytest.raises(RefusedError, match="503: the run has not begun"):
            browser.answer({"key": "0" * 16, "round": 0, "rank": 0})
        ids = begin_run(path, 2)
        waits_until(lambda: browser.call("open", want=1)["classes"])
        assert state() == "starting"
        publish(path, 0, ids, allowed=1)
        assert state() == "labeling"
        (item,) = browser.call("next", want=1)["items"]
        progress = browser.answer(item)["progress"]
        assert (progress["state"], progress["left"]) == ("allowance_used", 0)
        with store_of(path) as store:
            store.cut(1)
            assert state() == "training"
            store.changes.add("allowance", round=0, labels=2)
            (item,) = browser.call("next", want=1)["items"]
            assert browser.answer(item)["progress"]["state"] == "training"
            store.changes.add("end", round=0, reason="the pool is empty")
        progress = browser.call("heartbeat")["progress"]
        assert (progress["state"], progress["reason"]) == ("ended", "the pool is empty")


def test_everything_is_exhausted_when_all_samples_are_answered(tmp_path: Path) -> None:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run", 1))
    with served(tmp_path / "run") as tab:
        browser = tab()
        (item,) = browser.call("open", want=5)["items"]
        assert browser.answer(item)["progress"]["state"] == "exhausted"


def test_several_people_answer_a_sample_but_nobody_twice(tmp_path: Path) -> None:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run", 3, overlap=2))
    with served(tmp_path / "run") as tab:
        ann, too, bob = tab(), tab(), tab("bob")
        (item,) = ann.call("open", want=1)["items"]
        assert ids_of(too.call("open", want=1)) == ["0001"], "the other tab of the same person"
        assert ids_of(bob.call("open", want=3)) == ["0000", "0001", "0002"]
        assert ids_of(ann.answer(item, want=1)) == ["0002"]


def test_an_answer_may_name_a_new_class(tmp_path: Path) -> None:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run", accept_changes=True))
    with served(tmp_path / "run") as tab:
        browser = tab()
        item, other = browser.call("open", want=2)["items"]
        reply = browser.answer(item, None, new_class="fox")
        assert reply["progress"]["classes"] == 4
        browser.answer(other, 3)
        assert browser.call("open", want=0)["classes"] == ["cat", "dog", "other", "fox"]
        with store_of(tmp_path / "run") as store:
            assert store.labels() == {"0000": 3, "0001": 3}


def test_samples_have_several_classes_or_none(tmp_path: Path) -> None:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run", multilabel=True))
    with served(tmp_path / "run") as tab:
        browser = tab()
        items = browser.call("open", want=3)["items"]
        browser.answer(items[0], [0, 1, 1])
        browser.answer(items[1], [0, 0, 0])
        assert "expected a list of 3 entries" in browser.answer(items[2], 1)["refused"][0]["reason"]
        examples = browser.call("open", want=0)["examples"]
        assert {number: item["id"] for number, item in examples.items()} == {
            "1": "0000",
            "2": "0000",
        }
        with store_of(tmp_path / "run") as store:
            assert store.labels() == {"0000": [0, 1, 1], "0001": [0, 0, 0]}


@pytest.mark.parametrize("kind", ["texts", "tables"])
def test_texts_and_rows_come_with_the_item(kind: str, tmp_path: Path) -> None:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run", kind=kind, guess=True))
    with served(tmp_path / "run") as tab:
        browser = tab()
        _, item = browser.call("open", want=2)["items"]
        assert item["guess"]["label"] == 1
        if kind == "texts":
            assert item["text"] == "Text number 1.\nIt has <b>two</b> lines."
        else:
            assert item["row"] == [["size", 1], ["color", "red"], ["weight", None]]
        assert browser.get(f"/sample/{item['key']}")[0] == 404


def test_a_lease_lasts_while_the_page_is_open(run: Path) -> None:
    time = [1000.0]
    with served(run, clock=lambda: time[0]) as tab:
        browser, other = tab(), tab("bob")
        browser.call("open", want=1)
        time[0] += 50
        browser.call("heartbeat")
        time[0] += 50
        assert ids_of(other.call("open", want=1)) == ["0001"]
        time[0] += 50
        assert ids_of(other.call("next", want=2)) == ["0000", "0001"]


def test_the_page_and_its_files_are_sent(run: Path, tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "index.html").write_text("<!doctype html>")
    (tmp_path / "static" / "page.js").write_text("'use strict'")
    with served(run, static=tmp_path / "static") as tab:
        browser = tab()
        status, headers, content = browser.get("/")
        assert (status, content) == (200, b"<!doctype html>")
        assert headers["content-type"].startswith("text/html")
        _, headers, _ = browser.get("/static/page.js")
        assert headers["content-type"].startswith("text/javascript")
        again = {"If-None-Match": headers["etag"]}
        assert browser.request("GET", "/static/page.js", headers=again)[0] == 304
        assert browser.get("/static/other.js")[0] == 404


def test_a_page_of_another_run_is_refused(run: Path, tab: Tab) -> None:
    browser = tab()
    opened = browser.call("open", want=1)
    answer = given(opened["items"][0])
    with pytest.raises(RefusedError, match="403: this page belongs to another run; reload it"):
        browser.call("answer", want=1, answers=[answer], run="0" * 16)
    with store_of(run) as store:
        assert store.answers() == []
    reply = browser.call("answer", want=1, answers=[answer], run=opened["run"])
    assert reply["confirmed"] == [answer["request"]]


def test_a_new_ordering_that_is_still_read_is_no_used_allowance(
    run: Path, tab: Tab, monkeypatch: Any
) -> None:
    browser, reading = tab(), threading.Event()
    browser.call("open", want=1)
    read = published.read_ordering

    def waiting(path: Path) -> Any:
        assert reading.wait(60)
        return read(path)

    monkeypatch.setattr(published, "read_ordering", waiting)
    publish(run, 1, ids_of_run(30), allowed=5)
    progress = browser.call("heartbeat")["progress"]
    assert (progress["round"], progress["state"], progress["left"]) == (0, "training", None)
    reading.set()
    waits_until(lambda: browser.call("heartbeat")["progress"]["round"] == 1)
    assert browser.call("heartbeat")["progress"]["left"] == 5
