"""A folder whose samples simulated people label at the page, each in a thread of its own.

People are tabs that answer over HTTP and send an answer again, with its id, until it is confirmed.
"""

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from page_client import Browser, RefusedError, given
from PIL import Image

from lightning_badge.durable.lock import holder_of
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

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
            Image.fromarray(pixels).save(folder / "photos" / f"{n:03d}.png")
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
