"""The trainer, the server of the page and simulated people, each a process or thread of its own."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lightning_badge.store.allowance import ended
from lightning_badge.store.label_store import LabelStore

pytest.importorskip("starlette", reason="the page needs the extra page")
pytest.importorskip("PIL.Image")
from e2e.page_place import COMMAND, Person, Place, check_answers
from page_client import given
from secret_places import files_with

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path, "budget=on_demand", "budget.at_least=12", "max_rounds=4")
    yield place
    place.close()


def late_counts(place: Place, rounds: int) -> list[int]:
    """Returns how many answers to each round's ordering came while the next round was trained."""
    with LabelStore(place.run.labels_path) as store:
        cuts = [store.cuts(round)[-1].last_answer_id for round in range(rounds)]
        return [
            sum(a.answer_id > cuts[round + 1] for a in store.answers(round))
            for round in range(rounds - 1)
        ]


def test_two_people_label_while_three_rounds_train_and_both_processes_are_killed(
    place: Place,
) -> None:
    loop = place.loop()
    url = place.url()
    people = [place.person(url, name) for name in ("ann", "bob")]
    place.until(lambda: place.trains(1))
    trainer = place.pid("run.lock")
    assert trainer
    os.kill(trainer, signal.SIGKILL)
    place.until(lambda: sum(len(person.confirmed) for person in people) > 20)
    server = place.pid("page/server.lock")
    assert server
    os.kill(server, signal.SIGKILL)
    place.until(lambda: "the page stays" in place.printed()[1])
    for person in people:
        person.thread.join()  # the page says that the run has ended
        person.go_home()
    check_answers(place, people)
    # Nobody waits for a training, but in the last round, from which no model would learn.
    *trained, last = late_counts(place, 4)
    assert min(trained) > 0
    assert last <= 6, "people answer the three samples that they hold"
    waited = {at[:2] for person in people for at in person.seen if not at[2]}
    assert waited <= {("training", 2), ("allowance_used", 2)}
    out, err = place.printed()
    assert out.count("label at ") == 1
    assert "run ended: max_rounds=4 is reached" in out
    assert err.count("the trainer ended (signal 9); it is started again in 1 s") == 1
    assert err.count("the server ended (signal 9); it is started again in 1 s") == 1
    token = (place.run.path / "page" / "token").read_text()
    assert files_with(token, place.run.path) == {"page/token"}
    assert token not in err
    loop.send_signal(signal.SIGINT)
    assert loop.wait() == 0
    assert place.pid("run.lock") is place.pid("page/server.lock") is None


@pytest.mark.long
def test_a_configuration_error_is_one_line_and_ends_everything(place: Place) -> None:
    loop = place.loop("labelers.guidelines=missing.md")
    assert loop.wait() == 1
    out, err = place.printed()
    assert out == ""
    (error,) = [line for line in err.splitlines() if not line.startswith("INFO: ")]
    assert error.startswith("error: ")
    assert "missing.md: expected a Markdown file in UTF-8" in error
    assert not place.run.path.exists()


@pytest.mark.long
def test_each_process_goes_on_alone_and_the_loop_uses_a_server_that_runs(place: Place) -> None:
    place.overrides = ("budget=fixed", "budget.k=6", "max_rounds=2", "labelers.stay=false")
    first = place.loop()
    url = place.url()
    place.until(lambda: place.run.metrics_path(0).exists())
    first.kill()
    first.wait()
    while place.pid("run.lock") or place.pid("page/server.lock"):
        time.sleep(0.05)
    page = place.start("label", "run")  # without a port: that of before
    assert place.url() == url, "address and token stay the same"
    served_by = place.pid("page/server.lock")
    assert served_by == page.pid
    person = place.person(url, "ann")
    loop = place.loop()
    assert loop.wait() == 0
    out, err = place.printed()
    assert f"the page is served by process {page.pid} on" in err
    assert "label at " not in out
    assert "run ended: max_rounds=2 is reached" in out
    person.thread.join()
    person.go_home()
    check_answers(place, [person])
    with LabelStore(place.run.labels_path) as store:
        assert [finished.query_size for finished in store.rounds()] == [6]
    assert place.pid("page/server.lock") == page.pid
    page.terminate()
    assert page.wait() == 143


class Rows(Place):
    """The same for a table whose rows are low or high."""

    def __init__(self, folder: Path, *overrides: str, count: int = 3000) -> None:
        self.begin(folder, *overrides)
        values = np.random.default_rng(0).normal(size=(count, 3))
        lines = [",".join(f"{value:.4f}" for value in row) for row in values]
        (folder / "table.csv").write_text("\n".join(["a,b,c", *lines]))
        self.labels = {str(n): int(a > 0) for n, a in enumerate(values[:, 0])}

    def loop(self, *more: str) -> "subprocess.Popen[str]":
        own = ("data.path=table.csv", "data.classes=[low,high]", f"labelers.port={self.port}")
        return self.start("loop", *COMMAND, *own, *self.overrides, *more)


@pytest.mark.long
def test_many_kills_lose_no_answer_and_a_correction_is_in_the_next_cut(tmp_path: Path) -> None:
    place = Rows(tmp_path, "budget=on_demand", "budget.at_least=20", "max_rounds=8")
    try:
        loop = place.loop()
        url = place.url()
        people = [
            place.person(url, name, label_of=lambda item: place.labels[item["id"]], pause_s=0.5)
            for name in ("ann", "bob", "eve")
        ]
        rng = np.random.default_rng(1)
        kills, most = Counter[str](), {"run.lock": 4, "page/server.lock": 15}
        while "the page stays" not in place.printed()[1]:
            place.check()
            time.sleep(rng.uniform(1, 8))
            lock = ("run.lock", "page/server.lock")[int(rng.integers(4) > 0)]
            if kills[lock] < most[lock] and (pid := place.pid(lock)):
                os.kill(pid, signal.SIGKILL)
                kills[lock] += 1
        assert min(kills.values()) >= 3, kills
        for person in people:
            person.thread.join()
            person.go_home()
        check_answers(place, people, place.labels)
        ten = list(people[0].confirmed.values())[:10]
        corrected = {name: 1 - label for name, label in ten}
        correct(people[0], corrected)
        loop.terminate()
        loop.wait()
        place.overrides = ("budget=on_demand", "budget.at_least=20", "max_rounds=9")
        loop = place.loop("labelers.stay=false")
        url = place.url()
        place.until(lambda: not is_ended(place))
        person = place.person(url, "eve", label_of=lambda item: place.labels[item["id"]])
        assert loop.wait() == 0
        person.go_home()
        with LabelStore(place.run.labels_path) as store:
            cut = store.cuts(8)[-1].last_answer_id
            labels = {str(key): label for key, label in store.labels(up_to=cut).items()}
        assert {name: labels[name] for name in corrected} == corrected
    finally:
        place.close()


def is_ended(place: Place) -> bool:
    with LabelStore(place.run.labels_path) as store:
        return ended(store.changes) is not None


def correct(person: Person, labels: dict[str, int]) -> None:
    """Corrects answers in the review, as one call."""
    reply = person.browser.call("review", by="annotator", value=person.name, offset=0, count=100)
    items = {row["item"]["id"]: row["item"] for row in reply["rows"]}
    for offset in range(100, reply["total"], 100):
        more = person.browser.call(
            "review", by="annotator", value=person.name, offset=offset, count=100
        )
        items |= {row["item"]["id"]: row["item"] for row in more["rows"]}
    answers = [given({**items[name], "round": 0}, label) for name, label in labels.items()]
    found = person.browser.call("answer", want=0, answers=answers)
    person.browser.close()
    assert sorted(found["confirmed"]) == sorted(answer["request"] for answer in answers)
