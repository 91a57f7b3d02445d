"""Brings calls of the page to the run: one thread hands out samples, another one reviews."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lightning_badge.exceptions import BadgeError
from lightning_badge.labelers.page.calls import CallError, labeler_of
from lightning_badge.labelers.page.open_run import OpenRun, stamp
from lightning_badge.labelers.page.review import Reviewer
from lightning_badge.labelers.page.session_calls import LEASE_SECONDS, SessionCalls

_LOOK_S = 0.5  # between two looks at the files that the trainer writes at its start
_SESSION_CALLS = ("open", "next", "answer", "flag", "heartbeat", "release")
_REVIEW_CALLS = ("review", "why")
NAMES = (*_SESSION_CALLS, *_REVIEW_CALLS)
_NOT_BEGUN = "the run has not begun; try again in a moment"
_log = logging.getLogger(__name__)


class Api:
    """Answers the calls of a page; waits for a run that has not begun.

    Args:
        run_path: The run directory.
        run_id: Identifies the run to browsers.
        is_ours: Returns whether the folder is still the one that is served; it is another one
            after the loop has started over.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(
        self,
        run_path: Path,
        run_id: str,
        *,
        is_ours: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = run_path
        self._is_ours = is_ours
        self._run_id = run_id
        self._clock = clock
        self._stamp: Mapping[str, Any] | None = None
        self._looked = -_LOOK_S
        self._said: str | None = None
        self._calls: SessionCalls | None = None
        self.run: OpenRun | None = None
        self._reviewer: Reviewer | None = None
        self._sessions = ThreadPoolExecutor(1, "sessions")
        self._reviews = ThreadPoolExecutor(1, "reviews")
        self._opener = ThreadPoolExecutor(1, "opener")
        self._opening: Future[tuple[OpenRun, Mapping[str, Any]]] | None = None

    def begin(self) -> None:
        """Begins to open the run, before anybody calls."""
        self._sessions.submit(self._refresh)

    def close(self) -> None:
        """Ends the threads and closes the run."""
        self._opener.shutdown(wait=True)
        self._sessions.shutdown(wait=True)
        self._reviews.shutdown(wait=True)
        if self.run is not None:
            self.run.close()

    async def call(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a call.

        Raises:
            CallError: The call is refused.
            BadgeError: The store cannot be read or written.
        """
        if body.get("run", self._run_id) != self._run_id:  # it took the port of that run
            raise CallError("this page belongs to another run; reload it", 403)
        loop = asyncio.get_running_loop()
        if name in _REVIEW_CALLS:
            await loop.run_in_executor(self._sessions, self._refresh)
            return await loop.run_in_executor(self._reviews, self._review, name, body)
        return await loop.run_in_executor(self._sessions, self._answer, name, body)

    async def opened(self) -> OpenRun | None:
        """Returns the run; None if it has not begun."""
        if self.run is None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._sessions, self._look)
        return self.run

    def _answer(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self._look()
        if self._calls is None:
            return self._waiting(name, body)
        result: dict[str, Any] = getattr(self._calls, name)(body)
        return {"run": self._run_id, **result} if name == "open" else result

    def _refresh(self) -> None:
        self._look()
        if self.run is not None:
            self.run.refresh()

    def _review(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if self._reviewer is None:
            raise CallError(_NOT_BEGUN, 503)
        result: dict[str, Any] = getattr(self._reviewer, name)(body)
        return result

    def _look(self) -> None:
        """Opens the run if its files are whole, and again if the trainer wrote them anew."""
        if self._opening is not None and self._opening.done():
            self._adopt(self._opening)
        now = time.monotonic()
        if self._opening is not None or now - self._looked < _LOOK_S:
            return
        self._looked = now
        if not self._is_ours():
            raise CallError("the run was started over; open the new address", 503)
        found = stamp(self._path)
        if found is None or found == self._stamp:
            return
        self._opening = self._opener.submit(_open, self._path, found)
        if self.run is None:  # nobody can be served meanwhile
            self._adopt(self._opening)

    def _adopt(self, opening: "Future[tuple[OpenRun, Mapping[str, Any]]]") -> None:
        self._opening = None
        try:
            run, self._stamp = opening.result()
        except BadgeError as error:
            if str(error) != self._said:
                self._said = str(error)
                _log.error("%s", error)
            return
        earlier, self.run = self.run, run
        self._calls, self._reviewer = SessionCalls(run, clock=self._clock), Reviewer(run)
        if earlier is not None:  # after the reviews that read it
            self._reviews.submit(earlier.close)

    def _waiting(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a call before the run has begun."""
        labeler_of(body)
        if name == "release":
            return {}
        if name not in ("open", "next", "heartbeat"):
            raise CallError(_NOT_BEGUN, 503)
        progress = {
            "round": None,
            "state": "starting",
            "reason": None,
            "labels": 0,
            "mine": 0,
            "samples": 0,
            "left": None,
            "classes": 0,
        }
        if name == "heartbeat":
            return {"progress": progress}
        if name == "next":
            return {"items": [], "progress": progress}
        return {
            "run": self._run_id,
            "title": self._path.name,
            "kind": "images",
            "classes": [],
            "multilabel": False,
            "accept_changes": False,
            "guess": False,
            "overlap": 1,
            "guidelines": None,
            "examples": {},
            "lease_seconds": LEASE_SECONDS,
            "items": [],
            "progress": progress,
        }


def _open(path: Path, found: Mapping[str, Any]) -> tuple[OpenRun, Mapping[str, Any]]:
    run = OpenRun(path)
    try:
        run.refresh()
    except BaseException:
        run.close()
        raise
    return run, found
