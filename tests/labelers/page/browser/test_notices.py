"""The page says what the run does, and goes over to a better ordering by itself."""

import re
from typing import Any

import pytest


def test_a_better_ordering_comes_while_one_labels(site: Any, person: Any) -> None:
    run = site()
    ana = person(run)
    ana.label("0", "0")
    run.cut(1)
    ana.label("1")
    ana.sees("#notices", "A model is training.")
    run.publish(1, run.ids[::-1])
    ana.label("1")  # the server begins to read the ordering
    ana.sees("#notices", "A better ordering is in use: round 1.")
    ana.sees("#round", "round 1")
    ana.sees_sample(
        "0004"
    )  # what was on screen stays, the samples after it come by the new ordering
    ana.waits_for("!document.querySelector('[data-notice=training]')")
    ben = person(run, "Ben")
    ben.sees_sample("0022")  # Ana holds 0029 to 0023; what she gave back is free
    ana.label("2")
    ana.sees_sample("0029")
    ana.label("2")
    ana.has_saved(6)
    answers = run.answers()
    assert [answer.sample_id for answer in answers] == [*run.ids[:5], "0029"]
    assert [answer.round for answer in answers] == [0, 0, 0, 0, 0, 1]


def test_that_is_all_for_today(site: Any, person: Any) -> None:
    run = site(allowed=2)
    ana = person(run)
    assert ana.sees("#round", "2 labels left")
    ana.label("0", "1")
    ana.sees("#stage h2", "That is all for today")
    ana.sees("#stage", "You labeled 2. Thank you.")
    ana.page.click("[data-command=undo]")  # the last answer may still be corrected
    ana.label("2")
    ana.has_saved(2)
    run.publish(1, run.ids[::-1])
    ana.sees_sample("0029")  # goes on by itself
    assert run.labels() == {"0000": 0, "0001": 2}


def test_the_run_is_complete(site: Any, person: Any) -> None:
    run = site(count=3)
    ana = person(run)
    ana.label("0", "0", "0")
    ana.sees("#stage h2", "No sample is left")
    run.change("end", round=0, reason="the pool is empty")
    ana.sees("#stage h2", "The run is complete")
    ana.sees("#stage", "The pool is empty. You labeled 3. Thank you.")
    assert "The run is complete" in ana.page.text_content("#announcer")


@pytest.mark.long
def test_a_model_trains_and_nothing_may_be_labeled(site: Any, person: Any) -> None:
    run = site(allowed=1)
    run.cut(1)
    ana = person(run)
    ana.label("0")
    ana.sees("#stage h2", "A model is training")


def test_before_the_first_ordering_the_page_waits(tmp_path: Any, person: Any, site: Any) -> None:
    run = site("earlier")
    later = type(run)(tmp_path / "run")  # no ordering yet
    later.start()
    try:
        ana = person(later)
        ana.sees("#stage h2", "Getting ready")
        later.publish(0, later.ids)
        ana.sees_sample("0000")
        ana.sees("#pad .class", re.compile("cat"))
    finally:
        ana.page.close()
        later.stop()
