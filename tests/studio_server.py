"""A small Label Studio in this process: what its API does, as a real server was seen to do it.

`tests/labelers/label_studio/test_recorded.py` compares the labelers with replies of a real one.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PERSONAL = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbiI6InJlZnJlc2gifQ.c2VjcmV0LXJlZnJlc2g"
_START = datetime(2026, 1, 1, tzinfo=timezone.utc)
_DEFAULTS = {
    "description": "",
    "label_config": "<View></View>",
    "sampling": "Sequential sampling",
    "maximum_annotations": 1,
    "skip_queue": "REQUEUE_FOR_OTHERS",
    "model_version": "",
}


class LostError(Exception):
    """The connection ends without a reply."""


class Refused(Exception):  # noqa: N818 - a reply, not an error of the test
    """A reply with another status than 200."""

    def __init__(self, status: int, detail: Any = "refused") -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail


class Studio:
    """Projects, tasks and people.

    Attributes:
        requests: Method and path of each request, in order.
        is_away: Whether connections end without a reply, and nothing is carried out.
        loses: Requests that are carried out once each without a reply, as regular expressions.
        statuses: Statuses of the next replies, which carry nothing out.
        access: The short-lived tokens that are valid.
    """

    def __init__(self, *, page_limit: int = 100) -> None:
        self.lock = threading.RLock()
        self.projects: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, dict[str, Any]] = {}
        self.users = {1: "ann@example.com", 2: "bob@example.com"}
        self.requests: list[tuple[str, str]] = []
        self.is_away = False
        self.loses: list[str] = []
        self.statuses: list[int] = []
        self.access: set[str] = set()
        self.seen_tokens: set[str] = set()
        self.page_limit = page_limit
        self._ticks = 0
        self._numbers = iter(range(1, 10**9))

    # What the API does.

    def reply(
        self, method: str, target: str, body: Any, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        """Returns status and JSON of a reply."""
        parts = urlsplit(target)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        with self.lock:
            if self.is_away:
                raise LostError
            self.requests.append((method, parts.path))
            if self.statuses:
                return self.statuses.pop(0), {"detail": "not now"}
            try:
                self._admit(parts.path, headers)
                result = self._carry_out(method, parts.path, query, body)
            except Refused as refused:
                return refused.status, {"detail": refused.detail}
            for pattern in self.loses:
                if re.search(pattern, f"{method} {parts.path}"):
                    self.loses.remove(pattern)
                    raise LostError
            return (201 if method == "POST" else 200), result

    def _admit(self, path: str, headers: Mapping[str, str]) -> None:
        if path == "/api/token/refresh/":
            return
        given = headers.get("Authorization") or headers.get("authorization") or ""
        self.seen_tokens.add(given)
        kind, _, token = given.partition(" ")
        if (kind, token) != ("Token", TOKEN) and (kind != "Bearer" or token not in self.access):
            raise Refused(401, "Invalid token.")

    def _carry_out(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Any:
        for pattern, of_method, call in self._routes():
            found = re.fullmatch(pattern, path)
            if found and method == of_method:
                return call(*map(int, found.groups()), query=query, body=body)
        raise Refused(404, f"no {method} {path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., Any]]]:
        return [
            (r"/api/token/refresh/", "POST", self._refresh),
            (r"/api/users/", "GET", self._list_users),
            (r"/api/projects/", "GET", self._list_projects),
            (r"/api/projects/", "POST", self._create),
            (r"/api/projects/(\d+)/", "GET", self._show),
            (r"/api/projects/(\d+)/", "PATCH", self._change),
            (r"/api/projects/(\d+)/import", "POST", self._import),
            (r"/api/projects/(\d+)/import/predictions", "POST", self._predict),
            (r"/api/tasks/", "GET", self._list_tasks),
            (r"/api/tasks/(\d+)/", "GET", self._show_task),
        ]

    def _refresh(self, *, query: Any, body: Any) -> Any:
        if body != {"refresh": PERSONAL}:
            raise Refused(401, "Token is invalid")
        token = f"access.{len(self.requests)}.signed"
        self.access = {token}
        return {"access": token}

    def _list_users(self, *, query: Any, body: Any) -> Any:
        return [{"id": number, "email": email} for number, email in self.users.items()]

    def _list_projects(self, *, query: Any, body: Any) -> Any:
        title = query.get("title", "").lower()
        found = [facts for facts in self.projects.values() if title in facts["title"].lower()]
        return {"count": len(found), "results": self._page(found, query)}

    def _create(self, *, query: Any, body: Any) -> Any:
        number = next(self._numbers)
        self.projects[number] = {**_DEFAULTS, **body, "id": number}
        return self.projects[number]

    def _show(self, number: int, *, query: Any, body: Any) -> Any:
        if number not in self.projects:
            raise Refused(404, "No Project matches the given query.")
        tasks = self.tasks_of(number)
        votes = [vote for task in tasks for vote in task["annotations"]]
        skipped = sum(vote["was_cancelled"] for vote in votes)
        counts = {
            "task_number": len(tasks),
            "total_annotations_number": len(votes) - skipped,
            "skipped_annotations_number": skipped,
        }
        return {**self.projects[number], **counts}

    def _change(self, number: int, *, query: Any, body: Any) -> Any:
        self._show(number, query=query, body=None)
        version = body.get("model_version")
        known = {p["model_version"] for task in self.tasks_of(number) for p in task["predictions"]}
        if version and version not in known:
            raise Refused(400, f"Model version {version} doesn't exist")
        self.projects[number] |= body
        return self.projects[number]

    def _import(self, number: int, *, query: Any, body: Any) -> Any:
        self._show(number, query=query, body=None)
        ids = [self.add_task(number, **task) for task in body]
        reply = {"task_count": len(ids)}
        return {**reply, "task_ids": ids} if query.get("return_task_ids") == "true" else reply

    def _predict(self, number: int, *, query: Any, body: Any) -> Any:
        for prediction in body:
            if self.tasks.get(prediction["task"], {}).get("project") != number:
                raise Refused(400, f"task {prediction['task']} not found")
        valid = [prediction for prediction in body if 0 <= prediction["score"] <= 1]
        for prediction in valid:
            self.tasks[prediction["task"]]["predictions"].append(dict(prediction))
        return {"created": len(valid)}

    def _list_tasks(self, *, query: Any, body: Any) -> Any:
        tasks = self.tasks_of(int(query["project"]))
        asked = json.loads(query.get("query", "{}"))
        for item in asked.get("filters", {}).get("items", ()):
            assert (item["filter"], item["operator"]) == ("filter:tasks:updated_at", "greater")
            tasks = [task for task in tasks if task["updated_at"] > item["value"]]
        tasks.sort(key=lambda task: task["id"])
        return {"total": len(tasks), "tasks": self._page(tasks, query)}

    def _show_task(self, number: int, *, query: Any, body: Any) -> Any:
        if number not in self.tasks:
            raise Refused(404, "No Task matches the given query.")
        return self.tasks[number]

    def _page(self, entries: list[Any], query: Mapping[str, str]) -> list[Any]:
        size = min(int(query.get("page_size", 30)), self.page_limit)
        first = (int(query.get("page", 1)) - 1) * size
        if first and first >= len(entries):
            raise Refused(404, "Invalid page.")
        return entries[first : first + size]

    # What people do.

    def tasks_of(self, project: int) -> list[dict[str, Any]]:
        return [task for task in self.tasks.values() if task["project"] == project]

    def add_task(
        self, project: int, *, data: Mapping[str, Any], predictions: Any = (), **_: Any
    ) -> int:
        number = next(self._numbers)
        self.tasks[number] = {
            "id": number,
            "project": project,
            "data": dict(data),
            "predictions": [dict(prediction) for prediction in predictions],
            "annotations": [],
            "is_labeled": False,
            "updated_at": self._now(),
        }
        return number

    def stream(self, project: int, user: int = 1) -> list[dict[str, Any]]:
        """Returns the tasks that a person gets, in order."""
        facts = self.projects[project]
        assert facts["sampling"] == "Uncertainty sampling"
        scores = {}
        for task in self.tasks_of(project):
            of_version = [
                p["score"]
                for p in task["predictions"]
                if p["model_version"] == facts["model_version"]
            ]
            mine = [vote for vote in task["annotations"] if vote["completed_by"] == user]
            if not task["is_labeled"] and not mine:
                scores[task["id"]] = (not of_version, min(of_version, default=0.0), task["id"])
        return [self.tasks[number] for number in sorted(scores, key=scores.__getitem__)]

    def submit(
        self, task: int, choices: list[str] | None, user: int = 1, lead_time: float | None = 1.5
    ) -> int:
        """Answers a task; None skips it."""
        with self.lock:
            number = next(self._numbers)
            result = [
                {"from_name": "label", "to_name": "sample", "type": "choices", "id": "x"}
                | {"value": {"choices": choices}}
            ]
            self.tasks[task]["annotations"].append(
                {
                    "id": number,
                    "task": task,
                    "completed_by": user,
                    "result": result if choices else [],
                    "was_cancelled": choices is None,
                    "lead_time": lead_time,
                }
            )
            self._touch(task, number)
            return number

    def change(self, annotation: int, choices: list[str]) -> None:
        """Changes an answer, as a person does who goes back to it."""
        with self.lock:
            task, vote = self._vote(annotation)
            vote["result"] = [{"from_name": "label", "value": {"choices": choices}}]
            self._touch(task, annotation)

    def delete(self, annotation: int) -> None:
        """Deletes an answer."""
        with self.lock:
            task, vote = self._vote(annotation)
            self.tasks[task]["annotations"].remove(vote)
            self._touch(task, None)

    def _vote(self, annotation: int) -> tuple[int, dict[str, Any]]:
        return next(
            (task["id"], vote)
            for task in self.tasks.values()
            for vote in task["annotations"]
            if vote["id"] == annotation
        )

    def _touch(self, number: int, annotation: int | None) -> None:
        task, now = self.tasks[number], self._now()
        task["updated_at"] = now
        for vote in task["annotations"]:
            if vote["id"] == annotation:
                vote["updated_at"] = now
                vote.setdefault("created_at", now)
        needed = self.projects[task["project"]]["maximum_annotations"]
        task["is_labeled"] = len({vote["completed_by"] for vote in task["annotations"]}) >= needed

    def _now(self) -> str:
        self._ticks += 1
        return (_START + timedelta(seconds=self._ticks)).isoformat().replace("+00:00", "Z")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    studio: Studio


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a reply is one packet: the client waits for no acknowledgement

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        try:
            status, found = self.server.studio.reply(
                self.command, self.path, body, dict(self.headers.items())
            )
        except LostError:
            self.close_connection = True
            return
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def serving(studio: Studio, port: int = 0) -> Iterator[str]:
    """Yields the address of a Label Studio that threads serve."""
    server = _Server(("127.0.0.1", port), _Handler)
    server.studio = studio
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
