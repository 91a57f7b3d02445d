"""Money, deadlines and priorities hold at the page, which says what remains."""

from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from page_client import Browser, serving
from page_run import begin_run, ids_of, publish, store_of

from lightning_badge.store.priorities import Rule, commit_rules
from lightning_badge.store.terms import Money, Terms, commit_terms

IDS = ids_of(30)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run"))
    return tmp_path / "run"


@pytest.fixture
def browser(run: Path) -> Iterator[Browser]:
    with serving(run) as url, closing(Browser(url, "ann")) as browser:
        yield browser


def set_terms(run: Path, terms: Terms) -> None:
    with store_of(run) as store, store.leases.transaction():
        commit_terms(store.changes, terms)


def test_money_holds_and_the_page_says_what_remains(run: Path, browser: Browser) -> None:
    assert browser.call("open", want=1)["progress"]["remains"] is None
    set_terms(run, Terms(Money(Decimal("0.25"), price=Decimal("0.1"))))
    items = browser.call("next", want=5)["items"]
    assert len(items) == 2
    progress = browser.answer(items[0])["progress"]
    assert progress["remains"] == "0.15 of 0.25 left (0.10 a label)"
    assert (progress["state"], progress["left"]) == ("labeling", 1)
    progress = browser.answer(items[1])["progress"]
    assert (progress["state"], progress["left"]) == ("allowance_used", 0)
    assert progress["reason"] == "the money is used up: 0.20 of 0.25"
    set_terms(run, Terms(Money(Decimal("0.3"), price=Decimal("0.1"))))
    assert len(browser.call("next", want=5)["items"]) == 1


def test_after_the_deadline_nothing_is_handed_out(run: Path, browser: Browser) -> None:
    past = datetime(2020, 1, 1, tzinfo=timezone.utc)
    set_terms(run, Terms(until=past, at=past))
    reply = browser.call("open", want=3)
    assert reply["items"] == []
    assert reply["progress"]["reason"] == "the deadline 2020-01-01 00:00+00:00 is near"


def test_priorities_hold_from_the_next_lease_on(run: Path, browser: Browser) -> None:
    assert [item["id"] for item in browser.call("open", want=2)["items"]] == IDS[:2]
    with store_of(run) as store, store.leases.transaction():
        rules = [Rule("first", ("002*",)), Rule("exclude", ("0002",))]
        commit_rules(store.changes, rules, who="bob", change="the twenties")
    items = browser.call("next", want=4)["items"]
    assert {item["id"] for item in items} == {*IDS[:2], *IDS[20:22]}
