"""No answer is lost or counted twice, whatever happens between browser and store."""

from typing import Any

import pytest

from lightning_badge.labels import UNDO


def send_label_1_as(person: Any, text: str) -> None:
    """Replaces label 1 in the answers that the browser of a person sends."""

    def spoil(route: Any) -> None:
        sent = route.request.post_data
        route.continue_(post_data=sent.replace('"label":1', f'"label":{text}'))

    person.page.route("**/api/answer", spoil)


def test_the_server_is_away_and_comes_back(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.label("0")
    ana.has_saved(1)
    run.stop()
    ana.label("1", "2")
    ana.press("ArrowLeft")
    ana.label("0", "1")
    ana.sees("#notices", "5 answers kept in this browser")
    assert ana.sample == "0004"
    run.start()
    ana.has_saved(4)
    ana.waits_for("!document.querySelector('[data-notice=trouble]')")
    assert run.given() == [
        *[("0000", 0), ("0001", 1), ("0002", 2), ("0002", UNDO), ("0002", 0), ("0003", 1)]
    ]


def test_answers_outlive_a_reload(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")
    ana.page.route("**/api/answer", lambda route: route.abort())
    ana.label("0", "1", "2")
    ana.sees("#notices", "3 answers kept in this browser")
    assert run.given() == []
    ana.page.unroute("**/api/answer")
    ana.page.reload()
    ana.has_saved(3)  # nobody asks for the name again
    assert run.given() == [("0000", 0), ("0001", 1), ("0002", 2)]
    ana.press("ArrowLeft")  # undo goes on where it was
    ana.sees_sample("0002")
    ana.has_saved(2)  # else the 3 of before would be seen
    ana.label("1")
    ana.has_saved(3)
    assert run.labels() == {"0000": 0, "0001": 1, "0002": 1}


@pytest.mark.long
def test_another_tab_sends_what_a_closed_one_could_not(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.page.route("**/api/answer", lambda route: route.abort())
    ana.label("0", "1")
    ana.sees("#notices", "2 answers kept in this browser")
    ben = person(run, "Ben", context=ana.page.context)
    ben.label("2")  # Ana's tab still lives: hers are not touched
    ben.has_saved(1)
    assert {answer.annotator for answer in run.answers()} == {"Ben"}
    ana.page.close()
    ben.page.reload()
    ben.sees("#labels", "3 of 30 labeled")
    people = [(answer.annotator, answer.label) for answer in run.answers()]
    assert people == [("Ben", 2), ("Ana", 0), ("Ana", 1)]


def test_a_slow_server_brings_no_sample_back_that_was_answered(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")
    held: list[Any] = []
    ana.page.route("**/api/answer", lambda route: held.append(route))
    with ana.page.expect_request("**/api/answer"):
        ana.label("0")
    ana.label("1", "2")
    ana.sees_sample("0003")
    with ana.page.expect_request("**/api/answer"):  # the next one follows the reply
        held.pop().continue_()  # which still offers 0001 and 0002
    ana.has_saved(1)
    ana.label("0")
    ana.sees_sample("0004")
    ana.page.unroute("**/api/answer")  # the requests that are held go on
    ana.has_saved(4)
    assert run.given() == [("0000", 0), ("0001", 1), ("0002", 2), ("0003", 0)]


def test_a_reply_that_is_lost_counts_once(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")
    lost = []

    def lose(route: Any) -> None:
        route.fetch()  # it is committed
        lost.append(route.request.post_data)
        route.abort()

    ana.page.route("**/api/answer", lose, times=2)
    ana.label("1", "2")
    ana.has_saved(2)
    assert len(lost) == 2
    assert run.given() == [("0000", 1), ("0001", 2)]


def test_an_answer_that_is_refused_is_named(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")

    send_label_1_as(ana, "7")
    ana.label("1", "2")
    ana.sees("#notices", "1 answer not accepted")
    ana.has_saved(1)
    assert run.given() == [("0001", 2)]
    ana.page.click("[aria-label='Close this notice']")
    ana.waits_for("!document.querySelector('[data-notice=refused]')")


@pytest.mark.long
def test_a_call_that_can_never_succeed_does_not_hold_up_the_others(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")

    send_label_1_as(ana, '"x"')
    ana.label("0", "1", "2")
    ana.sees("#notices", "1 answer not accepted: label")
    ana.has_saved(2)
    assert [label for _, label in run.given()] == [0, 2]


@pytest.mark.parametrize("is_open", [True, False])
def test_answers_of_another_run_are_not_sent(site: Any, person: Any, is_open: bool) -> None:
    """Another run may take the address, and have samples with the same ids."""
    first = site("first")
    ana = person(first)
    ana.page.route("**/api/answer", lambda route: route.abort())
    ana.label("0")
    ana.sees("#notices", "1 answer kept")
    first.stop()
    second = site("second", address=first.path)
    assert first.url.split("?")[0] == second.url.split("?")[0]
    ben = person(second, "Ben", context=ana.page.context)  # the browser has the new cookie, too
    ana.page.unroute("**/api/answer")
    if is_open:
        ana.sees("#notices", "this page belongs to another run")
    else:
        ana.page.close()
        ben.page.reload()  # the samples of before may come back after it has loaded
    ben.label("2")
    ben.has_saved(1)
    assert [label for _, label in second.given()] == [2]


@pytest.mark.long
def test_a_browser_that_keeps_nothing_says_so(site: Any, person: Any) -> None:
    run = site()
    ana = person(run, init="indexedDB.open = () => { throw new Error('not here'); };")
    ana.sees_sample("0000")
    ana.page.route("**/api/answer", lambda route: route.abort())
    ana.label("0")
    ana.sees("#notices", "leave the page open until all answers are sent")
    ana.page.unroute("**/api/answer")
    ana.has_saved(1)
    assert run.given() == [("0000", 0)]


def test_without_the_cookie_the_page_says_what_to_do(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.sees_sample("0000")
    ana.page.context.clear_cookies()
    ana.label("0")
    ana.sees("#notices", "Open the address that the terminal shows. 1 answer kept in this browser")
    ana.page.goto(run.url)
    ana.has_saved(1)
    assert run.given() == [("0000", 0)]
