"""What the labelers send to a real Label Studio 1.23.2, and what they make of its replies.

``python tests/labelers/label_studio/test_recorded.py URL TOKEN SECOND_TOKEN`` records them anew,
from a server with two users; the file holds no token.
"""

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

sys.path += [str(Path(__file__).parents[2])] if __name__ == "__main__" else []

from studio_run import Run

from lightning_badge.labelers.label_studio import hand_out, labelers, project, tasks
from lightning_badge.labelers.label_studio.client import Client
from lightning_badge.labels import SKIP, UNDO

FILE = Path(__file__).parents[2] / "data" / "label_studio.json"
URL = "http://label-studio.example"
ANN, BOB = "a@example.com", "bob@example.com"
Answers = list[tuple[int, Any, str, float | None]]


def scenario(run: Run, people: Callable[[str], None]) -> list[Answers]:
    """Two rounds and a restart; returns the answers of each look."""
    looks: list[Answers] = []

    def look(at_work: Any) -> None:
        at_work._desk.read_at = -float("inf")  # no clock decides what is read
        found = run.look(at_work)
        looks.append([(a.sample_id, a.label, a.annotator, a.seconds) for a in found])

    first = run.start()
    first.prepare(overlap=1, accept_changes=False)
    first.publish(run.query(order=[7, 3, 5, 1], allowed=4))
    look(first)
    people("Ann labels 7 cat, Bob skips 3")
    look(first)
    people("Ann changes 7 to dog")
    look(first)
    people("Ann deletes her answer to 7")
    look(first)
    first.publish(run.query(1, order=[1, 5, 9, 7], allowed=4))
    look(first)
    first.close()
    people("Ann labels 1 dog")
    second = run.start()
    second.prepare(overlap=1, accept_changes=False)
    second.publish(run.query(1, order=[1, 5, 9, 7], allowed=4))
    look(second)
    second.close()
    return looks


EXPECTED: list[Answers] = [
    [],
    [(7, 0, ANN, 2.5), (3, SKIP, BOB, 1.5)],
    [(7, 1, ANN, 2.5)],
    [(7, UNDO, ANN, None)],
    [],
    [(1, 1, ANN, 2.5)],
]


class Replayed(httpx.BaseTransport):
    """Replies as the server did, if the requests are the same."""

    def __init__(self) -> None:
        self.left = json.loads(FILE.read_text(encoding="utf-8"))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        expected = self.left.pop(0)
        assert asked(request) == {name: expected[name] for name in ("method", "target", "body")}
        return httpx.Response(expected["status"], json=expected["reply"])


def asked(request: httpx.Request) -> dict[str, Any]:
    body = json.loads(request.content) if request.content else None
    return {"method": request.method, "target": request.url.raw_path.decode(), "body": body}


def fixed(monkeypatch: pytest.MonkeyPatch, transport: httpx.BaseTransport) -> None:
    """Makes random names the same each time, and requests go to a transport."""
    numbers = itertools.count(1)
    random = SimpleNamespace(token_hex=lambda size: f"{next(numbers):0{size}x}")
    for module in (hand_out, project):
        monkeypatch.setattr(module, "secrets", random)
    monkeypatch.setattr(tasks, "_clock", lambda: 0.0)
    monkeypatch.setattr(
        labelers, "Client", lambda url, token: Client(url, token, transport=transport)
    )


def test_two_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "token")
    transport = Replayed()
    fixed(monkeypatch, transport)
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run", None, URL)
    assert scenario(run, lambda what: None) == EXPECTED
    assert not transport.left
    run.store.close()


def test_the_file_holds_no_token() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert "uthorization" not in text
    assert "0123456789abcdef" not in text


class Recorded(httpx.BaseTransport):
    """Sends requests to a server, and keeps them with its replies."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kept: list[dict[str, Any]] = []
        self._network = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        target = request.url.raw_path.decode()
        headers = {"Authorization": request.headers["Authorization"]}
        body = json.loads(request.content) if request.content else None
        response = httpx.request(
            request.method, self.url + target, json=body, headers=headers, timeout=60
        )
        self.kept.append({**asked(request), "status": response.status_code})
        self.kept[-1]["reply"] = response.json()
        return httpx.Response(response.status_code, json=response.json())


class People:
    """Two people who label through the API, as the server's page does."""

    def __init__(self, run_path: Path, url: str, tokens: list[str]) -> None:
        self._run_path = run_path
        self._ann, self._bob = [
            httpx.Client(base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60)
            for token in tokens
        ]
        self._of_ann = 0

    def __call__(self, what: str) -> None:
        number = json.loads((self._run_path / project.NAME).read_text())["project"]
        if what.startswith("Ann labels"):
            sample_id, choice = what.partition(",")[0].split()[2:]
            task = self._next(self._ann, number, int(sample_id))
            self._of_ann = self._answer(self._ann, task, [choice], 2.5)
        if "Bob skips" in what:
            self._answer(self._bob, self._next(self._bob, number, 3), None, 1.5)
        if "changes" in what:
            body = {"result": result(["dog"])}
            self._ann.patch(f"/api/annotations/{self._of_ann}/", json=body).raise_for_status()
        if "deletes" in what:
            self._ann.delete(f"/api/annotations/{self._of_ann}/").raise_for_status()

    def _next(self, person: httpx.Client, number: int, sample_id: int) -> int:
        """Returns the task that the stream gives a person, which must be for a sample."""
        task = person.get(f"/api/projects/{number}/next/").raise_for_status().json()
        assert task["data"]["sample_id"] == sample_id, task["data"]
        return int(task["id"])

    def _answer(
        self, person: httpx.Client, task: int, choices: list[str] | None, seconds: float
    ) -> int:
        body = {"result": result(choices or []), "lead_time": seconds}
        body |= {"was_cancelled": choices is None}
        reply = person.post(f"/api/tasks/{task}/annotations/", json=body).raise_for_status()
        return int(reply.json()["id"])


def result(choices: list[str]) -> list[dict[str, Any]]:
    names = {"from_name": "label", "to_name": "sample", "type": "choices"}
    return [{**names, "value": {"choices": choices}}] if choices else []


def delete_earlier(url: str, token: str) -> None:
    """Deletes the project of an earlier recording, which has the same mark."""
    headers = {"Authorization": f"Token {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        query = {"title": "lightning-badge run", "page_size": 100}
        for facts in http.get("/api/projects/", params=query).json()["results"]:
            http.delete(f"/api/projects/{facts['id']}/").raise_for_status()


def main(url: str, *tokens: str) -> None:
    """Records the scenario."""
    os.environ["LABEL_STUDIO_API_KEY"] = tokens[0]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "run"
        path.mkdir()
        transport = Recorded(url)
        fixed(patch, transport)
        delete_earlier(url, tokens[0])
        run = Run(path, None, URL)
        looks = scenario(run, People(path, url, list(tokens)))
        assert looks == EXPECTED, looks
        lines = ",\n".join(map(json.dumps, transport.kept))
        FILE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(f"{FILE}: {len(transport.kept)} requests")


if __name__ == "__main__":
    main(*sys.argv[1:])
