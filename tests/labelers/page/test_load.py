"""Many browsers at once, over real HTTP, while another process keeps a core busy."""

import random
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from page_client import Browser, given
from page_run import begin_run, publish, store_of

BUSY = "import os\nos.nice(10)\nwhile True: pass"
BROWSERS = 20
PAUSE_S = 0.2


class Person(threading.Thread):
    """Labels one sample after the other and looks at each: five a second, without coffee."""

    def __init__(self, url: str, number: int, count: int) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.error: BaseException | None = None
        self._url, self._name, self._count = url, f"person {number}", count
        self._draws = random.Random(number)

    def run(self) -> None:
        try:
            with closing(Browser(self._url, self._name)) as browser:
                self._label(browser)
        except BaseException as error:
            self.error = error

    def _label(self, browser: Browser) -> None:
        items = browser.call("open", want=6)["items"]
        for number in range(self._count):
            time.sleep(self._draws.uniform(0, 2 * PAUSE_S))
            answer = given(items[0], number % 3)
            began = time.perf_counter()
            reply = browser.call("answer", want=6, answers=[answer])
            self.seconds.append(time.perf_counter() - began)
            assert reply["confirmed"] == [answer["request"]]
            items = reply["items"]
            assert browser.get(f"/sample/{items[-1]['key']}")[0] == 200
            if number % 20 == 19:
                browser.call("heartbeat")


@pytest.mark.slow
@pytest.mark.parametrize("answers", [400, pytest.param(10_000, marks=pytest.mark.long)])
def test_twenty_browsers_get_every_answer_into_the_store_once(tmp_path: Path, answers: int) -> None:
    publish(tmp_path, 0, begin_run(tmp_path, answers + BROWSERS * 6))
    command = [sys.executable, "-m", "lightning_badge", "label", str(tmp_path)]
    busy = subprocess.Popen([sys.executable, "-c", BUSY])
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        server.stdout.close()
        people = [Person(url, number, answers // BROWSERS) for number in range(BROWSERS)]
        began = time.perf_counter()
        for person in people:
            person.start()
        for person in people:
            person.join()
        wall = time.perf_counter() - began
    finally:
        for process in (server, busy):
            process.kill()
            process.wait()
    assert [person.error for person in people] == [None] * BROWSERS
    with store_of(tmp_path) as store:
        stored = store.answers()
    assert len(stored) == len({answer.sample_id for answer in stored}) == answers
    took = sorted(1000 * second for person in people for second in person.seconds)
    median, p99 = (took[int(len(took) * share)] for share in (0.5, 0.99))
    rate = answers / wall
    print(f"{answers} answers: median {median:.1f} ms, p99 {p99:.1f} ms, {rate:.0f} a second")
