"""The loop as a command, killed while people label and while it trains; no answer is lost."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
from secret_places import files_with
from studio_server import TOKEN, Studio, serving

from lightning_badge.labels import SKIP
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

pytestmark = pytest.mark.slow

NAMES = ["low", "high"]
COMMAND = [
    *("loop", "data=folder", "data.path=table.csv", f"data.classes=[{','.join(NAMES)}]"),
    *("labelers=label_studio", "labelers.poll=0.1", "budget=on_demand", "budget.at_least=12"),
    *("labelers.rows=30", "validation=none", "run_dir=run", "logger=none", "export=false"),
    *("trainer.accelerator=cpu", "trainer.max_steps=60", "progress=false", "max_rounds=4"),
]


class Place:
    """A table whose rows people label, and the command."""

    def __init__(self, folder: Path, studio: Studio, url: str) -> None:
        self.folder, self.studio, self.url = folder, studio, url
        self.rows = np.random.default_rng(0).normal(size=(200, 3))
        lines = [",".join(f"{value:.4f}" for value in row) for row in self.rows]
        (folder / "table.csv").write_text("\n".join(["a,b,c", *lines]))
        self.run = RunDirectory(folder / "run")
        self.given: dict[int, str | None] = {}
        self.processes: list[Any] = []

    def start(self, *more: str) -> Any:
        key = {"LABEL_STUDIO_API_KEY": os.environ["LABEL_STUDIO_API_KEY"]}
        command = (*COMMAND, f"labelers.url={self.url}", *more)
        self.processes.append(forked.start(self.folder, *command, **key))
        return self.processes[-1]

    def errors(self) -> str:
        """Returns what the newest process has written so far."""
        path = self.folder / f"{self.processes[-1].pid}.err"
        return path.read_text() if path.exists() else ""

    def wait(self) -> int:
        """Waits for the newest process; returns its exit status."""
        self.processes[-1].join()
        return int(self.processes[-1].exitcode)

    def label(self, count: int) -> None:
        """Answers the next tasks of the stream, every seventh by a skip."""
        for _ in range(count):
            self.until(self._stream)
            task = self._stream()[0]
            sample_id = int(task["data"]["sample_id"])
            label = None if len(self.given) % 7 == 6 else NAMES[int(self.rows[sample_id, 0] > 0)]
            assert sample_id not in self.given, "asked a second time"
            self.given[sample_id] = label
            self.studio.submit(task["id"], None if label is None else [label])

    def _stream(self) -> list[dict[str, Any]]:
        with self.studio.lock:
            return self.studio.stream(1) if self.studio.projects else []

    def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert self.processes[-1].is_alive(), self.errors()
            time.sleep(0.02)

    def trains(self, round: int) -> bool:
        return self.run.round_path(round).exists() and not self.run.metrics_path(round).exists()

    def kill(self) -> None:
        self.processes[-1].kill()
        self.wait()

    def stored(self) -> dict[int, str | None]:
        with LabelStore(self.run.labels_path) as store:
            answers = store.answers()
        labels = {a.sample_id: None if a.label is SKIP else NAMES[a.label] for a in answers}
        assert len(labels) == len(answers), "an answer counts twice"
        return labels


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    studio = Studio()
    with serving(studio) as url:
        made = Place(tmp_path, studio, url)
        yield made
        for process in made.processes:
            process.kill()
            process.join()


@pytest.mark.long
def test_a_run_that_is_killed_and_whose_server_restarts_loses_nothing(place: Place) -> None:
    place.start()
    place.label(5)
    place.until(lambda: len(place.stored()) >= 3)
    place.kill()  # while people label
    place.studio.is_away = True
    place.start()
    place.until(lambda: "does not answer" in place.errors())
    place.studio.is_away = False
    place.label(10)
    place.until(lambda: place.trains(1))
    place.label(4)  # people go on with the tasks that are there
    place.kill()  # while it trains
    place.start()
    place.label(30)
    assert place.wait() == 0, place.errors()
    stored = place.stored()
    assert stored.items() <= place.given.items()
    assert len(stored) >= 3 * 12
    with LabelStore(place.run.labels_path) as store:
        assert store.finished_rounds() == [0, 1, 2]
    assert len(place.studio.projects) == 1
    samples = [task["data"]["sample_id"] for task in place.studio.tasks.values()]
    assert len(samples) == len(set(samples)), "a task was added twice"


def test_ctrl_c_says_how_to_go_on(place: Place) -> None:
    process = place.start()
    place.label(2)
    place.until(lambda: len(place.stored()) == 2)
    os.kill(process.pid, signal.SIGINT)
    assert place.wait() == 130
    *_, last = place.errors().splitlines()
    assert last == "stopped; run the same command again to continue"
    assert f"people label at {place.url}/projects/1/data?labeling=1" in place.errors()
    assert "HTTP Request" not in place.errors()
    assert files_with(TOKEN, place.folder) == set()  # the run, and what it printed


@pytest.mark.long
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": "wr0ng-token"}, "refuses GET"),
        ({"url": "http://no-such-host.invalid"}, "does not answer"),
        ({"project": 99}, "has no project 99"),
    ],
)
def test_wrong_settings_are_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", changes.pop("token", TOKEN))
    place.start(*(f"labelers.{name}={value}" for name, value in changes.items()))
    assert place.wait() == 1
    (error,) = [line for line in place.errors().splitlines() if line.startswith("error: ")]
    assert message in error
    assert "wr0ng-token" not in place.errors()
    assert "Traceback" not in place.errors()
