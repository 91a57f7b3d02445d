"""The trainer, the server of the page and simulated people, each in a process or thread of its own.

People are tabs that answer over HTTP and send an answer again, with its id, until it is confirmed.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightning_badge.durable.lock import holder_of
from lightning_badge.store.allowance import ended
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

pytest.importorskip("starlette", reason="the page needs the extra page")
image = pytest.importorskip("PIL.Image")
from page_client import Browser, RefusedError, given

pytestmark = pytest.mark.slow
NAMES = ["top", "middle", "bottom"]
PHOTOS = ("data.path=photos", f"data.classes=[{','.join(NAMES)}]", "data.image_size=16")
COMMAND = [
    *("data=folder", "labelers=page", "logger=none", "run_dir=run"),
    *(
        "trainer.accelerator=cpu",
        "trainer.max_steps=60",
        "trainer.val_check_interval=30",
        "export=false",
    ),
]


def label_of(item: dict[str, Any]) -> int:
    return int(item["id"][:3]) % 3


def free_port() -> int:
    """Returns a port that no other server of a page tries by itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class GoneHomeError(Exception):
    pass


@dataclass
class Person:
    """A tab whose person answers until the run has ended or ``stop`` is set.

    Attributes:
        confirmed: Request ids with the id of the sample and the label.
        seen: State and round, and whether there was a sample, each time that it asked.
    """

    url: str
    name: str
    label_of: Callable[[dict[str, Any]], int] = label_of
    pause_s: float = 0.2
    confirmed: dict[str, tuple[str, int]] = field(default_factory=dict)
    seen: list[tuple[str, int | None, bool]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.browser = Browser(self.url, self.name)
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        try:
            reply = self._call("next", want=3)
            while not self.stop.is_set() and reply["progress"]["state"] != "ended":
                items, progress = reply["items"], reply["progress"]
                self.seen.append((progress["state"], progress["round"], bool(items)))
                self.stop.wait(self.pause_s)
                if not items:
                    reply = self._call("next", want=3)
                    continue
                answer = given(items[0], self.label_of(items[0]))
                reply = self._call("answer", want=3, answers=[answer])
                assert reply["confirmed"] == [answer["request"]], reply["refused"]
                self.confirmed[answer["request"]] = (items[0]["id"], answer["label"])
        except GoneHomeError:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.browser.close()

    def _call(self, name: str, **body: Any) -> dict[str, Any]:
        """Calls until the server confirms, as the page does."""
        while not self.stop.is_set():
            try:
                return dict(self.browser.call(name, **body))
            except (OSError, http.client.HTTPException):
                pass
            except RefusedError as error:
                if error.status != 503:
                    raise
            time.sleep(0.05)
        raise GoneHomeError

    def go_home(self) -> None:
        self.stop.set()
        self.thread.join()
        if self.error is not None:
            raise self.error


class Place:
    """A folder with photos, and the command that labels them.

    Args:
        folder: The folder.
        overrides: Of the command, beside `COMMAND`.
    """

    def __init__(self, folder: Path, *overrides: str, count: int = 900) -> None:
        rng = np.random.default_rng(0)
        (folder / "photos").mkdir()
        for n in range(count):
            pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
            pixels[8 * (n % 3) : 8 * (n % 3) + 8] += 120
            image.fromarray(pixels).save(folder / "photos" / f"{n:03d}.png")
        self.begin(folder, *overrides)

    def begin(self, folder: Path, *overrides: str) -> None:
        self.folder, self.overrides = folder, overrides
        self.run = RunDirectory(folder / "run")
        self.processes: list[subprocess.Popen[str]] = []
        self.people: list[Person] = []
        self.port = free_port()

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Starts a subcommand; its output goes to files, which never fill up."""
        number = len(self.processes)
        with (
            (self.folder / f"out{number}").open("w") as out,
            (self.folder / f"err{number}").open("w") as err,
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", "lightning_badge", *arguments],
                cwd=self.folder,
                stdout=out,
                stderr=err,
                text=True,
            )
        self.processes.append(process)
        return process

    def loop(self, *more: str) -> "subprocess.Popen[str]":
        port = f"labelers.port={self.port}"
        return self.start("loop", *COMMAND, *PHOTOS, port, *self.overrides, *more)

    def person(self, url: str, name: str, **arguments: Any) -> Person:
        self.people.append(Person(url, name, **arguments))
        return self.people[-1]

    def check(self) -> None:
        """Raises if the newest process has ended, or if a person met an error."""
        assert self.processes[-1].poll() is None, self.printed()
        for person in self.people:
            assert person.error is None, (person.error, self.printed())

    def printed(self, number: int = -1) -> tuple[str, str]:
        number %= len(self.processes)
        return (self.folder / f"out{number}").read_text(), (
            self.folder / f"err{number}"
        ).read_text()

    def url(self, number: int = -1) -> str:
        """Waits for the address."""
        self.until(lambda: "label at " in self.printed(number)[0])
        (line,) = [
            line for line in self.printed(number)[0].splitlines() if line.startswith("label at ")
        ]
        return line.removeprefix("label at ")

    def until(self, condition: Any) -> None:
        while not condition():
            self.check()
            time.sleep(0.05)

    def pid(self, lock: str) -> int | None:
        """Returns the process that trains (``run.lock``) or serves (``page/server.lock``)."""
        holder = holder_of(self.run.path / lock)
        return None if holder is None else int(holder.split()[1])

    def trains(self, round: int) -> bool:
        return self.run.round_path(round).exists() and not self.run.metrics_path(round).exists()

    def close(self) -> None:
        for person in self.people:
            person.stop.set()
            person.thread.join()
        for process in self.processes:
            process.kill()  # its children end with it
            process.wait()
        while self.pid("run.lock") or self.pid("page/server.lock"):
            time.sleep(0.05)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path, "budget=on_demand", "budget.at_least=12", "max_rounds=4")
    yield place
    place.close()


def check_answers(place: Place, people: list[Person], labels: dict[str, int] | None = None) -> None:
    """Each confirmed answer is in the store, right and once, and there are no others."""
    confirmed = {key: value for person in people for key, value in person.confirmed.items()}
    with LabelStore(place.run.labels_path) as store:
        answers = store.answers()
    assert {a.request_id: (str(a.sample_id), a.label) for a in answers} == confirmed
    assert len(answers) == len(confirmed)
    repeated = [key for key, n in Counter(a.sample_id for a in answers).items() if n > 1]
    assert not repeated
    right = labels or {name: int(name[:3]) % 3 for name, _ in confirmed.values()}
    assert all(label == right[name] for name, label in confirmed.values())


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
    loop.send_signal(signal.SIGINT)
    assert loop.wait() == 0
    assert place.pid("run.lock") is place.pid("page/server.lock") is None


def test_a_configuration_error_is_one_line_and_ends_everything(place: Place) -> None:
    loop = place.loop("labelers.guidelines=missing.md")
    assert loop.wait() == 1
    out, err = place.printed()
    assert out == ""
    (error,) = [line for line in err.splitlines() if not line.startswith("INFO: ")]
    assert error.startswith("error: ")
    assert "expected a Markdown file in UTF-8 at missing.md" in error
    assert not place.run.path.exists()


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
