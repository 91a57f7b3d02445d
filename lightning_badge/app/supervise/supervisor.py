"""Starts and watches the trainer and the server of the page.

The two meet only in the label store and in the files of the run directory. Therefore either of them
may be killed at any time and started again.
"""

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from lightning_badge.app.fresh_start import fresh_of
from lightning_badge.app.stop_line import stop_line
from lightning_badge.app.supervise.child import Child, is_crash, is_signal
from lightning_badge.app.supervise.plan import Plan, without_fresh
from lightning_badge.durable.file import identity_of
from lightning_badge.durable.lock import holder_of
from lightning_badge.labelers.page.page_files import is_whole, page_json_path, page_path
from lightning_badge.stopping import SIGNALS
from lightning_badge.store.allowance import allowed
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.run_directory import RunDirectory

_LOOK_S = 0.1
_SERVER_STEADY_S = 5.0  # it starts in one, and people wait for it


class Supervisor:
    """Runs the trainer until the run ends, and the server as long as people may look at it.

    Args:
        plan: What to serve.
        arguments: The overrides and options of the loop.
    """

    def __init__(self, plan: Plan, arguments: Sequence[str]) -> None:
        self._plan = plan
        self._arguments = list(arguments)
        self._trainer = Child("trainer", self._trainer_arguments)
        self._server = Child(
            "server",
            lambda: ["label", str(plan.run_path), *plan.options],
            shown=set(),
            steady_s=_SERVER_STEADY_S,
        )
        self._folder = identity_of(plan.run_path)
        self._page = identity_of(page_json_path(plan.run_path))
        self._is_over = False
        self._told = ""
        self._stop = threading.Event()
        self._stopped_by = 0

    def run(self) -> int:
        """Returns the exit status: 0 if the run ended, or that of the first error to mend.

        After a signal it is 143 (SIGTERM) or 130 (Ctrl-C).
        """
        before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        try:
            while not self._stop.is_set():
                if (status := self._step()) is not None:
                    return status
                self._stop.wait(_LOOK_S)
            if self._is_over:
                return 0
            _say(stop_line(self._arguments))
            return self._stopped_by
        finally:
            for child in (self._trainer, self._server):
                child.terminate()
            for child in (self._trainer, self._server):
                child.wait()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _step(self) -> int | None:
        """Starts what has to run; returns an exit status to end with."""
        status = self._trainer.ended()
        if status is not None and (status := self._after_trainer(status)) is not None:
            return status
        if not self._is_over:
            self._trainer.start_if_due()
        status = self._server.ended()
        if status is not None and (status := self._after_server(status)) is not None:
            return status
        if self._may_serve():
            self._server.start_if_due()
        return None

    def _after_trainer(self, status: int) -> int | None:
        if status == 0:
            self._is_over = True
            if not self._plan.stays:
                return 0
            _say("the page stays for review; Ctrl-C ends it")
            return None
        if is_signal(status) or (is_crash(status) and self._has_published()):
            self._restart(self._trainer, status)
            return None
        return status

    def _after_server(self, status: int) -> int | None:
        if status == 1 and self._holder() is not None:  # another one was quicker
            return None
        if status in (1, 2):
            return status
        self._restart(self._server, status)
        return None

    def _restart(self, child: Child, status: int) -> None:
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        pause_s = child.start_again()
        _say(f"the {child.name} ended ({how}); it is started again in {pause_s:.0f} s")

    def _may_serve(self) -> bool:
        """Returns whether the trainer has written the page, and nobody else serves it."""
        if self._server.is_running:
            return False
        path = page_json_path(self._plan.run_path)
        # Until the trainer has checked its configuration, the files are those of an earlier start.
        is_checked = identity_of(path) != self._page or self._trainer.starts > 1
        if not is_checked or not is_whole(self._plan.run_path) or not self._is_moved():
            return False
        holder = self._holder()
        if holder is not None and holder != self._told:
            self._told = holder
            _say(f"the page is served by {holder} already, which printed its address")
        return holder is None

    def _holder(self) -> str | None:
        return holder_of(page_path(self._plan.run_path) / "server.lock")

    def _is_moved(self) -> bool:
        """Returns whether the run directory is that of this run, not one to be moved aside."""
        path = self._plan.run_path
        return not self._plan.is_fresh or identity_of(path) not in (None, self._folder)

    def _trainer_arguments(self) -> list[str]:
        is_begun = not self._plan.is_fresh or (self._trainer.starts > 0 and self._is_moved())
        goes_on = is_begun and fresh_of(self._arguments) is not None
        return ["loop", *(without_fresh(self._arguments) if goes_on else self._arguments)]

    def _has_published(self) -> bool:
        """Returns whether people were asked for labels, so that a crash is not one of the start."""
        path = RunDirectory(self._plan.run_path).labels_path
        if not path.is_file():
            return False
        with LabelStore(path) as store:
            return allowed(store.changes) is not None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._stopped_by = 128 + number
        self._stop.set()


def supervise(plan: Plan, arguments: Sequence[str]) -> None:
    """Runs trainer and server, and exits with their status."""
    sys.exit(Supervisor(plan, arguments).run())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
