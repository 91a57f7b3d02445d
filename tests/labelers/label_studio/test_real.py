"""A real Label Studio, in an environment of its own: two people, a browser, a restart, two rounds.

The environment variable ``LABEL_STUDIO`` may name an executable that is installed already.
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from chromium import chromium_running
from PIL import Image
from studio_server import TOKEN

from lightning_badge.labels import SKIP
from lightning_badge.store.answer import Answer
from lightning_badge.store.label_store import LabelStore

pytestmark = [pytest.mark.slow, pytest.mark.long]

EMAIL, PASSWORD = "ann@example.com", "pass1234x"
NAMES = ["top", "middle", "bottom"]
AWAY = (httpx.TransportError, httpx.HTTPStatusError)


class Server:
    """A Label Studio with SQLite in a folder."""

    def __init__(self, executable: str, folder: Path) -> None:
        self.executable, self.folder = executable, folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        settings = {
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "COLLECT_ANALYTICS": "False",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "LATEST_VERSION_CHECK": "False",
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        }
        unset = {"PYTHONPATH", "VIRTUAL_ENV"}
        kept = {name: value for name, value in os.environ.items() if name not in unset}
        options = [*("--host", self.url, "--internal-host", "127.0.0.1"), "--no-browser"]
        options += [*("--port", str(self.port), "--username", EMAIL, "--password", PASSWORD)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.executable, "start", *options, "--user-token", TOKEN],
                env={**kept, **settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.until(self._is_ready)

    def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert self.process is not None
            assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    @contextmanager
    def session_of(self, email: str) -> Iterator[httpx.Client]:
        """Yields the session of a new user, who signs up by an invitation."""
        headers = {"Authorization": f"Token {TOKEN}"}
        link = httpx.get(f"{self.url}/api/invite", headers=headers, timeout=60).json()["invite_url"]
        with httpx.Client(base_url=self.url, follow_redirects=True, timeout=60) as session:
            session.get(link)
            form = {"email": email, "password": PASSWORD}
            form["csrfmiddlewaretoken"] = session.cookies["csrftoken"]
            session.post(link, data=form, headers={"Referer": self.url}).raise_for_status()
            yield session

    def token_of(self, email: str) -> str:
        with self.session_of(email) as session:
            return str(session.get("/api/current-user/token").json()["token"])

    def personal_token_of(self, email: str) -> str:
        with self.session_of(email) as session:
            headers = {"X-CSRFToken": session.cookies["csrftoken"], "Referer": self.url}
            reply = session.post("/api/token/", headers=headers).raise_for_status()
            return str(reply.json()["token"])

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=10).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    executable = os.environ.get("LABEL_STUDIO")
    if executable is None:
        place = tmp_path_factory.mktemp("label_studio")
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        subprocess.run([place / "bin/pip", "install", "-q", "label-studio==1.23.2"], check=True)
        executable = str(place / "bin" / "label-studio")
    made = Server(executable, tmp_path_factory.mktemp("data"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Person(threading.Thread):
    """Labels what the stream offers through the API, and waits while the server is away."""

    def __init__(self, server: Server, project: int, token: str, most: int) -> None:
        super().__init__()
        headers = {"Authorization": f"Token {token}"}
        self.http = httpx.Client(base_url=server.url, headers=headers, timeout=60)
        self.project, self.most = project, most
        self.given: list[int] = []
        self.errors: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while len(self.given) < self.most:
                try:
                    self._label_one()
                except AWAY as error:
                    self.errors.append(type(error).__name__)
                    time.sleep(0.3)
        except BaseException as error:
            self.failure = error
        finally:
            self.http.close()

    def _label_one(self) -> None:
        reply = self.http.get(f"/api/projects/{self.project}/next/")
        if reply.status_code == 404:  # nothing is left at the moment
            time.sleep(0.3)
            return
        task = reply.raise_for_status().json()
        body: dict[str, Any] = {"lead_time": 2.0}
        if len(self.given) % 20 == 19:
            body |= {"result": [], "was_cancelled": True}
        else:
            chosen = {"choices": [NAMES[int(task["data"]["sample_id"][:3]) % 3]]}
            names = {"from_name": "label", "to_name": "sample", "type": "choices"}
            body["result"] = [{**names, "value": chosen}]
        self.http.post(f"/api/tasks/{task['id']}/annotations/", json=body).raise_for_status()
        self.given.append(task["id"])


class Place:
    """A folder of photos, and the command that labels them."""

    def __init__(self, folder: Path, server: Server, count: int) -> None:
        rng = np.random.default_rng(0)
        (folder / "photos").mkdir()
        for n in range(count):
            pixels = rng.integers(0, 120, (24, 24, 3), dtype=np.uint8)
            pixels[8 * (n % 3) : 8 * (n % 3) + 8] += 120
            Image.fromarray(pixels).save(folder / "photos" / f"{n:03d}.png")
        self.folder, self.server = folder, server
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *overrides: str) -> None:
        command = [
            *("loop", "data=folder", "data.path=photos", f"data.classes=[{','.join(NAMES)}]"),
            *("labelers=label_studio", f"labelers.url={self.server.url}", "data.image_size=16"),
            *("budget=on_demand", "run_dir=run", "logger=none", "export=false", "progress=false"),
            *("trainer.accelerator=cpu", "trainer.max_steps=60", "trainer.val_check_interval=30"),
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "lightning_badge", *command, *overrides],
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            time.sleep(0.1)

    def page(self) -> str:
        self.until(lambda: "people label at " in self.log())
        return self.log().partition("people label at ")[2].split()[0]

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait() == 130, self.log()

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def answers(self) -> list[Answer]:
        with LabelStore(self.folder / "run" / "labels.db") as store:
            return store.answers()

    def finished(self) -> list[int]:
        with LabelStore(self.folder / "run" / "labels.db") as store:
            return store.finished_rounds()


@pytest.fixture
def place(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
    made = Place(tmp_path, server, 600)
    yield made
    made.close()


def annotations(server: Server, project: int) -> Counter[tuple[str, str, str]]:
    """Returns what the server holds: how often a user says something of a sample."""
    headers = {"Authorization": f"Token {TOKEN}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=300) as http:
        users = {user["id"]: user["email"] for user in http.get("/api/users/").json()}
        parameters = {"project": project, "fields": "all", "page_size": 1000}
        tasks = http.get("/api/tasks/", params=parameters).raise_for_status().json()["tasks"]
    samples = [task["data"]["sample_id"] for task in tasks]
    assert len(samples) == len(set(samples)), "a task was added twice"
    return Counter(
        (
            task["data"]["sample_id"],
            users[vote["completed_by"]],
            "skip" if vote["was_cancelled"] else vote["result"][0]["value"]["choices"][0],
        )
        for task in tasks
        for vote in task["annotations"]
    )


def in_browser(server: Server, page: str) -> str:
    """Labels one task as a person does, in headless Chromium; returns the class chosen."""
    with chromium_running() as browser:
        tab = browser.new_page(viewport={"width": 1280, "height": 800})
        tab.goto(f"{server.url}/user/login/")
        tab.fill("input[name=email]", EMAIL)
        tab.fill("input[name=password]", PASSWORD)
        tab.click("button[type=submit]")
        tab.wait_for_url(lambda url: "login" not in url)
        tab.goto(page)
        tab.wait_for_selector("img[src^='blob:'], img[src^='data:'], canvas", timeout=60_000)
        tab.get_by_text("middle", exact=False).first.click()
        with tab.expect_response(lambda reply: "/annotations" in reply.url) as submitted:
            tab.locator("button[name=submit]").first.click()
        assert submitted.value.status == 201
    return "middle"


def test_two_people_two_rounds_a_browser_and_a_restart(place: Place, server: Server) -> None:
    place.start("budget.at_least=150", "labelers.rows=300")
    page = place.page()
    project = int(page.partition("/projects/")[2].partition("/")[0])
    place.until(lambda: httpx.get(f"{server.url}/health", timeout=60).status_code == 200)
    headers = {"Authorization": f"Token {TOKEN}"}
    facts = f"{server.url}/api/projects/{project}/"
    place.until(lambda: httpx.get(facts, headers=headers, timeout=60).json()["model_version"])
    chosen = in_browser(server, page)
    place.until(lambda: len(place.answers()) == 1)
    (first,) = place.answers()
    assert (first.annotator, first.label) == (EMAIL, NAMES.index(chosen))
    assert first.rank == 0, "the stream does not follow the rank"
    assert first.seconds is not None
    assert first.seconds > 0

    people = [
        Person(server, project, token, most)
        for token, most in ((TOKEN, 249), (server.token_of("bob@example.com"), 250))
    ]
    for person in people:
        person.start()
    place.until(lambda: len(place.answers()) > 60)
    server.stop()  # while people label
    place.until(lambda: "does not answer" in place.log())
    server.start()
    place.until(lambda: all(not person.is_alive() for person in people))
    assert [person.failure for person in people] == [None, None]
    assert all(person.errors for person in people), "nobody met the outage"
    held = annotations(server, project)
    assert sum(held.values()) >= 500
    place.until(lambda: len(place.answers()) >= sum(held.values()))
    place.stop()

    stored = Counter(
        (str(a.sample_id), a.annotator, "skip" if a.label is SKIP else NAMES[a.label])
        for a in place.answers()
    )
    assert stored == held, "an answer is lost or counts twice"
    assert max(stored.values()) == 1
    assert place.finished()[:2] == [0, 1]
    assert "Label Studio answers again" in place.log()
    assert TOKEN not in place.log()
    print(f"\n{sum(stored.values())} answers: {Counter(who for _, who, _ in stored)}")


def test_a_personal_token(place: Place, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    token = server.personal_token_of("cy@example.com")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    place.start("validation=none")
    project = int(place.page().partition("/projects/")[2].partition("/")[0])
    person = Person(server, project, server.token_of("di@example.com"), 5)
    person.start()
    place.until(lambda: len(place.answers()) == 5)
    person.join()
    place.stop()
    assert {answer.annotator for answer in place.answers()} == {"di@example.com"}
    written = [path for path in place.folder.rglob("*") if path.is_file()]
    assert not [path for path in written if token.encode() in path.read_bytes()]
