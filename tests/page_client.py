"""A simulated browser for the labeling page, and a server in a thread to try it on."""

import http.client
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from lightning_badge.labelers.page.address import Address, bound_socket, token_of
from lightning_badge.labelers.page.api import Api
from lightning_badge.labelers.page.app import make_app
from lightning_badge.labelers.page.serve import Binding, server_config


class RefusedError(Exception):
    def __init__(self, status: int, error: str) -> None:
        super().__init__(f"{status}: {error}")
        self.status, self.error = status, error


class Browser:
    """One tab of a person; keeps its connection, like a browser."""

    def __init__(self, url: str, labeler: str = "ann") -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self.host, self.port, self.labeler = parts.hostname, parts.port, labeler
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.cookie = f"lightning_badge_{parts.port}={parts.query.removeprefix('token=')}"
        self.session = uuid.uuid4().hex
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str | None] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Returns status, headers and content; headers that are None are left out."""
        given = {"Host": urlsplit(self.origin).netloc, "Cookie": self.cookie}
        if method == "POST":
            given |= {"Origin": self.origin, "Content-Type": "application/json"}
        sent = {name: value for name, value in {**given, **(headers or {})}.items() if value}
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            self._connection.request(method, path, body, sent)
            response = self._connection.getresponse()
            return (
                response.status,
                {k.lower(): v for k, v in response.getheaders()},
                response.read(),
            )
        except (OSError, http.client.HTTPException):
            self.close()
            raise

    def get(self, path: str, **headers: str | None) -> tuple[int, Mapping[str, str], bytes]:
        return self.request("GET", path, headers=headers)

    def call(self, name: str, **body: Any) -> Any:
        """Returns the reply to a call; raises a `RefusedError` if it is refused."""
        whole = {"labeler": self.labeler, "session": self.session, **body}
        status, _, content = self.request("POST", f"/api/{name}", json.dumps(whole).encode())
        reply = json.loads(content)
        if status != 200:
            raise RefusedError(status, reply["error"])
        return reply

    def answer(
        self, item: Mapping[str, Any], label: Any = 0, *, want: int = 1, **more: Any
    ) -> dict[str, Any]:
        """Returns the reply to one answer."""
        reply: dict[str, Any] = self.call("answer", want=want, answers=[given(item, label, **more)])
        return reply

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def given(item: Mapping[str, Any], label: Any = 0, **more: Any) -> dict[str, Any]:
    """Returns an answer to an item as the page sends it; a label may be ``skip`` or ``undo``."""
    is_status = label in ("skip", "undo")
    return {
        "request": str(uuid.uuid4()),
        "key": item["key"],
        "round": item["round"],
        "rank": item["rank"],
        "status": label if is_status else "label",
        "label": None if is_status else label,
        "seconds": 1.5,
        **more,
    }


def waits_until(is_so: Callable[[], object], *, at_most_s: float = 60.0) -> None:
    """Returns when something that another thread or process does has happened."""
    deadline = time.monotonic() + at_most_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextmanager
def serving(path: Path, *, static: Path | None = None, **options: Any) -> Iterator[str]:
    """Yields the address with the token of a page that a thread serves."""
    with bound_socket(path, "127.0.0.1", None) as bound:
        address = Address("127.0.0.1", bound.getsockname()[1], token_of(path))
        api = Api(path, address.run_id, **options)
        folder = {} if static is None else {"static": static}
        server = uvicorn.Server(server_config(make_app(api, address, **folder), Binding()))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield address.url
        finally:
            server.should_exit = True
            thread.join()
            api.close()
