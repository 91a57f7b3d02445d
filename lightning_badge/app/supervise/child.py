"""A child process of the supervisor, which is started again after a crash."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from lightning_badge.app.supervise.child_side import CRASHED, GRACE_S, VARIABLE

_LONGEST_PAUSE_S = 60.0
_BY_SIGNAL = {130, 143}  # exit status of commands that say so: 128 + SIGINT, 128 + SIGTERM


class Child:
    """A subcommand in a process of its own.

    After a signal or a crash it is started again, 1, 2, 4, ... at most 60 seconds later; after a
    minute without a crash the count begins anew.

    Args:
        name: Name in messages.
        arguments: Returns the subcommand and its arguments, at each start.
        shown: Lines of its output that were shown already and are not shown again; None shows its
            output as it comes.
    """

    def __init__(
        self, name: str, arguments: Callable[[], Sequence[str]], *, shown: set[str] | None = None
    ) -> None:
        self.name = name
        self.starts = 0
        self._arguments = arguments
        self._shown = shown
        self._process: subprocess.Popen[str] | None = None
        self._started_at = 0.0
        self._pause_s = 1.0
        self._start_at = 0.0
        self._reader: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    def start_if_due(self) -> None:
        """Starts it, unless it runs or has to wait after a crash."""
        if self._process is not None or time.monotonic() < self._start_at:
            return
        # A session of its own: Ctrl-C at the terminal reaches the supervisor alone.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lightning_badge", *self._arguments()],
            env={**os.environ, VARIABLE: "1"},
            stdin=subprocess.PIPE,
            stdout=None if self._shown is None else subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self.starts += 1
        self._started_at = time.monotonic()
        if self._shown is not None:
            self._reader = threading.Thread(target=self._show, daemon=True)
            self._reader.start()

    def ended(self) -> int | None:
        """Returns its exit status once; None if it runs or was never started."""
        if self._process is None or self._process.poll() is None:
            return None
        status = self._process.returncode
        self._close()
        return status

    def start_again(self) -> float:
        """Plans its next start after a crash; returns the seconds until then."""
        if time.monotonic() - self._started_at >= _LONGEST_PAUSE_S:
            self._pause_s = 1.0
        pause_s = self._pause_s
        self._start_at = time.monotonic() + pause_s
        self._pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return pause_s

    def terminate(self) -> None:
        """Asks its process to end."""
        if self.is_running:
            assert self._process is not None
            self._process.terminate()

    def wait(self) -> None:
        """Waits until its process has ended; kills it if that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        if self._reader is not None:
            self._reader.join(GRACE_S)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process = None

    def _show(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        assert self._shown is not None
        for line in self._process.stdout:
            if line not in self._shown:
                self._shown.add(line)
                print(line, end="", flush=True)


def is_signal(status: int) -> bool:
    """Returns whether an exit status says that a signal ended a process."""
    return status < 0 or status in _BY_SIGNAL


def is_crash(status: int) -> bool:
    """Returns whether an exit status says that a process crashed."""
    return status == CRASHED
