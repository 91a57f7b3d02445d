"""The loop as a command, killed while people label and while it trains; no answer is lost."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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

START = [sys.executable, "-m", "lightning_badge", *COMMAND]


class Place:
    """A table whose rows people label, and the command."""

    def __init__(self, folder: Path, studio: Studio, url: str) -> None:
        self.folder, self.studio, self.url = folder, studio, url
        self.rows = np.random.default_rng(0).normal(size=(200, 3))
        lines = [",".join(f"{value:.4f}" for value in row) for row in self.rows]
        (folder / "table.csv").write_text("\n".join(["a,b,c", *lines]))
        self.run = RunDirectory(folder / "run")
        self.given: dict[int, str | None] = {}
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *more: str) -> "subprocess.Popen[str]":
        with (self.folder / f"err{len(self.processes)}").open("w") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "lightning_badge",
                    *COMMAND,
                    f"labelers.url={self.url}",
                    *more,
                ],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                text=True,
            )
        self.processes.append(process)
        return process

    def errors(self, number: int = -1) -> str:
        number %= len(self.processes)
        return (self.folder / f"err{number}").read_text()

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
            assert self.processes[-1].poll() is None, self.errors()
            time.sleep(0.02)

    def trains(self, round: int) -> bool:
        return self.run.round_path(round).exists() and not self.run.metrics_path(round).exists()

    def kill(self) -> None:
        self.processes[-1].kill()
        self.processes[-1].wait()

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
            process.wait()


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
    assert place.processes[-1].wait() == 0, place.errors()
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
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
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
    process = place.start(*(f"labelers.{name}={value}" for name, value in changes.items()))
    assert process.wait() == 1
    (error,) = [line for line in place.errors().splitlines() if line.startswith("error: ")]
    assert message in error
    assert "wr0ng-token" not in place.errors()
    assert "Traceback" not in place.errors()
