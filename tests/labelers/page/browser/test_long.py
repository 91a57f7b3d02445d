"""Whole sessions: how fast the page is, a server that is killed, and the pictures of the docs."""

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lightning_badge.labelers.page.page_files import ShownSample

DOCS = Path(__file__).parents[4] / "docs"
DIGITS = [str(digit) for digit in range(10)]
# From the press of a key until the next image is painted, in milliseconds.
STOPWATCH = """
window.waits = [];
let pressed = null;
addEventListener("keydown", (event) => { pressed = event.timeStamp; }, true);
addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => {
    if (pressed === null || !document.querySelector("#stage > img")) return;
    const from = pressed;
    pressed = null;
    requestAnimationFrame(() => {
      const painted = new MessageChannel();
      painted.port1.onmessage = () => waits.push(performance.now() - from);
      painted.port2.postMessage(null);
    });
  }).observe(document.getElementById("stage"), { childList: true });
});
"""


@pytest.mark.long
def test_from_a_key_to_the_next_image(
    site: Any, person: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = site(count=300, classes=DIGITS, digits=True)
    ana = person(run, init=STOPWATCH)
    for _ in range(299):
        ana.label(str(run.digits[ana.sample]))
    ana.has_saved(299)
    assert run.labels() == {key: run.digits[key] for key in run.ids[:299]}
    waits = ana.page.evaluate("waits")[1:]  # the first key is Enter, after the name
    assert len(waits) == 299
    ranked = sorted(waits)
    with capsys.disabled():
        print(
            f"\nkey to next image, {len(waits)} digits: median {statistics.median(waits):.1f} ms, "
            f"p95 {ranked[int(0.95 * len(ranked))]:.1f} ms, most {ranked[-1]:.1f} ms"
        )


class Process:
    """The server of a run in a process of its own, which may be killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._started: list[subprocess.Popen[str]] = []
        self.url = ""

    def start(self) -> None:
        command = [sys.executable, "-m", "lightning_badge", "label", str(self._path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._started.append(process)
        assert process.stdout
        self.url = process.stdout.readline().split()[-1]

    def kill(self) -> None:
        process = self._started[-1]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdout
        process.stdout.close()


@pytest.fixture
def process(site: Any) -> Iterator[tuple[Any, Process]]:
    run = site(count=140, classes=DIGITS, digits=True)
    run.stop()
    server = Process(run.path)
    server.start()
    run.url = server.url
    yield run, server
    server.kill()


@pytest.mark.long
def test_two_people_label_while_the_server_is_killed(process: Any, person: Any) -> None:
    """Every answer is right, none is lost, none counts twice."""
    run, server = process
    people = [person(run, "Ana"), person(run, "Ben")]
    for turn in range(60):
        for one in people:
            one.label(str(run.digits[one.sample]))
        if turn % 6 == 5:  # with answers on their way
            server.kill()
            server.start()
            assert server.url == run.url
    for one in people:
        one.has_saved(60)
    answers = run.answers()
    assert len(answers) == len({answer.sample_id for answer in answers}) == 120
    assert len({answer.request_id for answer in answers}) == 120
    assert all(answer.label == run.digits[answer.sample_id] for answer in answers)


@pytest.mark.long
def test_the_pictures_of_the_docs(site: Any, person: Any, phone: Any, tmp_path: Path) -> None:
    """With LIGHTNING_BADGE_DRAW=1 they are drawn into the docs."""
    folder = DOCS if os.environ.get("LIGHTNING_BADGE_DRAW") == "1" else tmp_path
    run = site(count=300, classes=DIGITS, digits=True)
    ana = person(run)
    for _ in range(12):
        ana.label(str(run.digits[ana.sample]))
    ana.has_saved(12)
    ana.sees_sample("0012")
    ana.page.screenshot(path=folder / "page_desktop.png")
    intents = ["card has not arrived", "card is lost", "change the PIN", "top up", "other"]
    texts = site("texts", kind="texts", classes=intents)
    text = "My new card should have come last week. Where is it, and can I pay by phone meanwhile?"
    texts.show("Questions to the bank", [ShownSample(sample_id, text) for sample_id in texts.ids])
    ben = person(texts, "Ben", on={**phone, "device_scale_factor": 1.5})
    ben.label("1", "0")
    ben.has_saved(2)
    ben.page.screenshot(path=folder / "page_phone.png")
    for name in ("page_desktop.png", "page_phone.png"):
        assert (folder / name).stat().st_size < 150_000
        assert (DOCS / name).stat().st_size < 150_000
