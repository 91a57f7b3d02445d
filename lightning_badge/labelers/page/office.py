"""Brings calls of the page to the run: one thread hands out samples, another one reviews."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lightning_badge.exceptions import BadgeError
from lightning_badge.labelers.page.calls import CallError, labeler_of
from lightning_badge.labelers.page.desk import LEASE_SECONDS, Desk
from lightning_badge.labelers.page.open_run import OpenRun, stamp

_LOOK_S = 0.5  # between two looks at the files that the trainer writes at its start
_SESSION_CALLS = ("open", "next", "answer", "flag", "heartbeat", "release")
NAMES = _SESSION_CALLS
_log = logging.getLogger(__name__)


class Office:
    """Answers the calls of a page; waits for a run that has not begun.

    Args:
        run_path: The run directory.
        run_id: Identifies the run to browsers.
        clock: Returns the time in seconds since 1970.
    """

    def __init__(
        self, run_path: Path, run_id: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = run_path
        self._run_id = run_id
        self._clock = clock
        self._stamp: Mapping[str, Any] | None = None
        self._looked = -_LOOK_S
        self._said: str | None = None
        self._desk: Desk | None = None
        self.run: OpenRun | None = None
        self._sessions = ThreadPoolExecutor(1, "sessions")

    def close(self) -> None:
        """Ends the threads and closes the run."""
        self._sessions.shutdown(wait=True)
        if self.run is not None:
            self.run.close()

    async def call(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a call.

        Raises:
            CallError: The call is refused.
            BadgeError: The store cannot be read or written.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._sessions, self.answer, name, body)

    async def opened(self) -> OpenRun | None:
        """Returns the run; None if it has not begun."""
        if self.run is None:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._sessions, self._look)
        return self.run

    def answer(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a call in this thread; see ``call``."""
        self._look()
        if self._desk is None:
            return self._waiting(name, body)
        result: dict[str, Any] = getattr(self._desk, name)(body)
        return {"run": self._run_id, **result} if name == "open" else result

    def _look(self) -> None:
        """Opens the run if its files are whole, and again if the trainer wrote them anew."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        found = stamp(self._path)
        if found is None or found == self._stamp:
            return
        try:
            run = OpenRun(self._path)
        except BadgeError as error:
            if str(error) != self._said:
                self._said = str(error)
                _log.error("%s", error)
            return
        earlier, self.run = self.run, run
        self._stamp, self._desk = found, Desk(run, clock=self._clock)
        if earlier is not None:
            earlier.close()

    def _waiting(self, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a call before the run has begun."""
        labeler_of(body)
        if name == "release":
            return {}
        if name not in ("open", "next", "heartbeat"):
            raise CallError("the run has not begun; try again in a moment", 503)
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
