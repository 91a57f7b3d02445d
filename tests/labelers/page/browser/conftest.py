"""Headless Chromium, people who label in it, and runs to label that were built without training."""

import io
import itertools
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium_running
from page_client import serving
from page_run import begin_run, publish, store_of
from PIL import Image

from lightning_badge.labelers.page.page_files import ShownSample, read_page, write_page
from lightning_badge.store.answer import Answer

HERE = Path(__file__).parent
PORTS = itertools.count(20000 + 100 * (os.getpid() % 100))
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "device_scale_factor": 2,
    "has_touch": True,
    "is_mobile": True,
}
# What Chromium logs of requests that tests let fail.
EXPECTED = re.compile(r"Failed to load resource")
SAMPLE = "#stage > :is(img, .text, table)"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each takes a second; with `--dist loadgroup` one worker runs them all."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker("slow")
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="package")  # its event loop must not outlive these tests
def chromium() -> Iterator[Any]:
    """Yields the browser; its pages are those of people who have not been here before."""
    with chromium_running() as browser:
        yield browser


class Site:
    """A run of the ids 0000, 0001, ... in this order, and the server of its page."""

    def __init__(
        self, path: Path, count: int = 30, *, address: Path | None = None, **options: Any
    ) -> None:
        self.path = path
        self.ids = begin_run(path, count, **options)
        self.digits: dict[str, int] = {}
        self.url = ""
        self._server = ExitStack()
        # A port that no other test takes while the server is away; or that of another run.
        text = json.dumps({"host": "127.0.0.1", "port": next(PORTS)})
        if address is not None:
            text = (address / "page" / "address.json").read_text()
        (path / "page" / "address.json").write_text(text)

    def show_digits(self) -> None:
        """Shows scikit-learn's digits instead of noise; ``digits`` says which."""
        from sklearn.datasets import load_digits

        data = load_digits()
        self.digits = dict(zip(self.ids, data.target.tolist(), strict=False))
        pictures = [png_of(image / 16) for image in data.images[: len(self.ids)]]
        samples = [ShownSample(*row) for row in zip(self.ids, self.ids, pictures, strict=True)]
        self.show("Digits", samples)

    def show(self, title: str, samples: list[ShownSample]) -> None:
        """Shows other samples for the same ids."""
        write_page(self.path, replace(read_page(self.path), title=title), samples)

    def start(self) -> "Site":
        self.url = self._server.enter_context(serving(self.path))
        return self

    def stop(self) -> None:
        self._server.close()

    def publish(self, round: int, ids: list[str], allowed: int | None = None) -> None:
        publish(self.path, round, ids, allowed=allowed)

    def cut(self, round: int) -> None:
        """A model begins to train."""
        with store_of(self.path) as store:
            store.cut(round)

    def change(self, kind: str, **facts: Any) -> None:
        with store_of(self.path) as store:
            store.changes.add(kind, **facts)

    def answers(self) -> list[Answer]:
        with store_of(self.path) as store:
            return store.answers()

    def given(self) -> list[tuple[Any, Any]]:
        """Returns sample and label of all answers in the order of their commits."""
        return [(answer.sample_id, answer.label) for answer in self.answers()]

    def labels(self) -> dict[Any, Any]:
        with store_of(self.path) as store:
            return store.labels()


def png_of(image: Any) -> bytes:
    """Returns the picture of gray values in [0, 1]."""
    file = io.BytesIO()
    Image.fromarray((255 * image).astype("uint8")).save(file, "PNG")
    return file.getvalue()


class Person:
    """Somebody at the page in a browser of their own."""

    def __init__(self, page: Any, name: str) -> None:
        self.page, self.name = page, name
        self.problems: list[str] = []
        self.hosts: set[str] = set()
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", self._hear)
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.problems.append(message.text)

    def enter(self, url: str) -> "Person":
        self.page.goto(url)
        self.page.fill("#name-field", self.name)
        self.page.keyboard.press("Enter")
        return self

    def counts_calls(self) -> list[int]:
        """Returns a list that gets, at the start of each call, how many are under way."""
        under_way: set[Any] = set()
        counts: list[int] = []

        def begin(request: Any) -> None:
            if "/api/" in request.url:
                under_way.add(request)
                counts.append(len(under_way))

        self.page.on("request", begin)
        self.page.on("requestfinished", lambda request: under_way.discard(request))
        self.page.on("requestfailed", lambda request: under_way.discard(request))
        return counts

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def label(self, *keys: str) -> None:
        """Presses a key for each sample as soon as it can be seen."""
        for key in keys:
            self.page.wait_for_selector(SAMPLE)
            self.page.keyboard.press(key)

    def sees(self, selector: str, text: str | re.Pattern[str] = "") -> Any:
        """Waits until an element with the text is visible, and returns it."""
        found = self.page.locator(selector).filter(has_text=text).first
        found.wait_for()
        return found

    def sees_sample(self, sample_id: str) -> None:
        self.page.wait_for_selector(f'#stage img[alt="Sample {sample_id}"]')

    @property
    def sample(self) -> str:
        """The id of the image on screen."""
        text = self.page.wait_for_selector("#stage > img").get_attribute("alt")
        return str(text).removeprefix("Sample ")

    def has_saved(self, count: int) -> None:
        """Waits until the server says that this many labels of this person are in force."""
        self.page.wait_for_function(
            "text => document.getElementById('mine').textContent === text", arg=f"{count} by you"
        )

    def waits_for(self, condition: str) -> None:
        self.page.wait_for_function(f"() => {condition}")  # a text would need eval


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Returns a function that begins to serve a run with an ordering."""
    with ExitStack() as stack:

        def begin(
            name: str = "run", *, allowed: int | None = None, digits: bool = False, **options: Any
        ) -> Site:
            made = Site(tmp_path / name, **options)
            if digits:
                made.show_digits()
            made.publish(0, made.ids, allowed)
            stack.callback(made.stop)
            return made.start()

        yield begin


@pytest.fixture
def phone() -> dict[str, Any]:
    return PHONE


@pytest.fixture
def person(chromium: Any) -> Iterator[Callable[..., Person]]:
    """Returns a function that opens the page; afterwards nothing may have gone wrong in it."""
    with ExitStack() as stack:
        everybody: list[Person] = []

        def come(
            site: Site,
            name: str = "Ana",
            *,
            on: dict[str, Any] = DESKTOP,
            init: str = "",
            context: Any = None,
            **look: Any,
        ) -> Person:
            if context is None:
                context = chromium.new_context(**on, **look)
                stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(60000)
            if init:
                page.add_init_script(init)
            everybody.append(Person(page, name))
            return everybody[-1].enter(site.url)

        yield come
        for one in everybody:
            assert one.problems == []
            assert all(host.startswith("127.0.0.1:") for host in one.hosts), "another host"
