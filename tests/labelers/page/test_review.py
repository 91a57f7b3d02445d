"""Labels are looked through, corrected and explained."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from page_client import Browser, RefusedError, serving
from page_run import begin_run, publish, review, store_of

Tab = Callable[..., Browser]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose first two samples were labeled before the first round."""
    ids = begin_run(tmp_path / "run", initial={"0000": 0, "0001": 1}, overlap=2)
    publish(tmp_path / "run", 0, ids[2:])
    review(tmp_path / "run", 0, ids, ids[:2])
    return tmp_path / "run"


@pytest.fixture
def tab(run: Path) -> Iterator[Tab]:
    with serving(run) as url, ExitStack() as stack:
        yield lambda labeler="ann": stack.enter_context(closing(Browser(url, labeler)))


@pytest.fixture
def labeled(tab: Tab) -> Tab:
    """Ann and Bob have labeled 0002 to 0005, and do not agree on 0003; Bob skipped 0005."""
    ann, bob = tab(), tab("bob")
    items = ann.call("open", want=4)["items"]
    for item, label in zip(items, (0, 1, 2, 1), strict=True):
        ann.answer(item, label)
    for item, label in zip(items, (0, 2, 2, "skip"), strict=True):
        bob.answer(item, label)
    return tab


def ids_of(reply: Any) -> list[str]:
    return [row["item"]["id"] for row in reply["rows"]]


def test_everything_comes_latest_first_and_then_the_labels_of_the_data(labeled: Tab) -> None:
    reply = labeled().call("review", by="all")
    assert ids_of(reply) == ["0005", "0004", "0003", "0002", "0000", "0001"]
    assert reply["total"] == 6
    assert reply["classes"] == {"0": 2, "1": 1, "2": 2}
    assert reply["annotators"] == {"ann": 4, "bob": 4}
    assert [row["label"] for row in reply["rows"]] == [None, 2, 2, 0, 0, 1]
    assert [row["annotator"] for row in reply["rows"]] == [*["bob"] * 4, None, None]
    first = reply["rows"][0]["answers"]
    assert [(a["annotator"], a["status"], a["label"]) for a in first] == [
        ("ann", "label", 1),
        ("bob", "skip", None),
    ]


def test_a_part_of_them_is_sent(labeled: Tab) -> None:
    reply = labeled().call("review", by="all", offset=1, count=2)
    assert (ids_of(reply), reply["total"]) == (["0004", "0003"], 6)


@pytest.mark.parametrize(
    ("by", "value", "expected"),
    [
        ("class", 2, ["0004", "0003"]),
        ("annotator", "bob", ["0005", "0004", "0003", "0002"]),
        ("annotator", "nobody", []),
        ("disagreement", None, ["0005", "0003"]),
        # The model guesses 1 for all, and is surer of later ids.
        ("contradiction", None, ["0004", "0003", "0002", "0000"]),
        ("flagged", None, []),
    ],
)
def test_labels_of_one_kind(labeled: Tab, by: str, value: Any, expected: list[str]) -> None:
    reply = labeled().call("review", by=by, value=value)
    assert ids_of(reply) == expected
    assert reply["total"] == len(expected)
    assert (reply["disagreements"], reply["contradictions"], reply["flagged"]) == (2, 4, 0)


def test_a_correction_is_an_answer_like_any_other(run: Path, labeled: Tab) -> None:
    browser = labeled("carl")
    rows = browser.call("review", by="class", value=2)["rows"]
    for row in rows:
        assert browser.answer(row["item"], 0)["refused"] == []
    assert browser.call("review", by="class", value=2)["rows"] == []
    with store_of(run) as store:
        corrected = {a.sample_id: (a.label, a.round, a.rank) for a in store.answers()[-2:]}
        assert corrected == {"0004": (0, 0, 2), "0003": (0, 0, 1)}


def test_labels_of_the_data_are_corrected_too(run: Path, labeled: Tab) -> None:
    browser = labeled()
    (row,) = browser.call("review", by="all", offset=5)["rows"]
    browser.answer(row["item"], 2)
    assert browser.call("review", by="class", value=2)["rows"][0]["item"]["id"] == "0001"
    with store_of(run) as store:
        assert store.labels()["0001"] == 2


def test_flags_are_kept_with_their_comments(run: Path, tab: Tab) -> None:
    browser = tab()
    items = browser.call("open", want=2)["items"]
    for item in (items[1], items[0], items[0]):  # one of them is sent again
        browser.call("flag", key=item["key"], comment="blurred <b>")
    tab("bob").call("flag", key=items[1]["key"], comment="no")
    reply = browser.call("review", by="flagged")
    assert ids_of(reply) == [items[1]["id"], items[0]["id"]]
    assert reply["rows"][0]["flags"] == [
        {"annotator": "ann", "comment": "blurred <b>"},
        {"annotator": "bob", "comment": "no"},
    ]
    with store_of(run) as store:
        assert len(store.changes.of("flag")) == 3


def test_why_a_sample_is_asked_for(labeled: Tab) -> None:
    browser = labeled()
    (item,) = browser.call("next", want=1)["items"]
    why = browser.call("why", key=item["key"])
    assert why["rank"] == item["rank"]
    assert why["gain"] == pytest.approx(9 - 8 * item["rank"] / 27)
    assert why["guess"]["label"] == item["rank"] % 2
    assert [(near["item"]["id"], near["label"]) for near in why["nearest"]] == [
        ("0000", 0),
        ("0001", 1),
    ]


def test_a_labeled_sample_has_a_guess_and_no_rank(labeled: Tab) -> None:
    browser = labeled()
    (row,) = browser.call("review", by="all", offset=5)["rows"]
    why = browser.call("why", key=row["item"]["key"])
    assert (why["rank"], why["gain"], why["nearest"]) == (None, None, [])
    assert why["guess"]["label"] == 1
    assert row["guess"] == why["guess"]


def test_reviews_work_without_predictions(tmp_path: Path) -> None:
    publish(tmp_path / "run", 0, begin_run(tmp_path / "run"))
    with serving(tmp_path / "run") as url, closing(Browser(url)) as browser:
        (item,) = browser.call("open", want=1)["items"]
        browser.answer(item, 2)
        reply = browser.call("review", by="contradiction")
        assert (reply["rows"], reply["classes"]) == ([], {"2": 1})
        assert browser.call("why", key=item["key"])["nearest"] == []


def test_a_review_of_unknown_things_is_refused(tab: Tab) -> None:
    browser = tab()
    for wrong in ({"by": "size"}, {"by": "class"}, {"by": "all", "count": 101}):
        with pytest.raises(RefusedError, match="400"):
            browser.call("review", **wrong)
    with pytest.raises(RefusedError, match="404: key: there is no such sample"):
        browser.call("why", key="0" * 16)
