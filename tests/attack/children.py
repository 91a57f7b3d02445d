"""Starts of a command in forked processes, in which an I/O call may fail or be the last.

The process that forks has imported everything, so that a start takes less than a second. It has to
run with the library of ``io_faults.c`` in ``LD_PRELOAD`` and its path in ``IO_FAULTS``.
"""

import contextlib
import ctypes
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

from forked import CRASHED, run_here

# In the order of the library's kinds.
KINDS = ("count", "kill_before", "kill_after", "kill_halfway", "fail", "disk_full", "short")
SIGKILL = "sigkill"


@dataclass(frozen=True)
class Fault:
    """What happens to the first start of a command.

    Attributes:
        kind: One of `KINDS`, or ``sigkill``.
        at: Number of the I/O call, from 1; of ``sigkill``: seconds after the start.
        command: ``loop`` or ``label``, which serves the page.
    """

    kind: str = "count"
    at: float = 0
    command: str = "loop"


class Child:
    """A start of a command in a forked process.

    Args:
        folder: The working folder; its I/O calls are those beneath it.
        arguments: Of the command.
        fault: What happens to it; None for nothing.
        environment: Further variables.
    """

    def __init__(
        self,
        folder: Path,
        arguments: tuple[str, ...],
        fault: Fault | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._output = [folder / f"{arguments[0]}.{name}" for name in ("out", "err", "calls")]
        for path in self._output:  # of a start before this one
            path.unlink(missing_ok=True)
        self._held, inherited = os.pipe()[::-1]
        self.status: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self._held)
            _become(folder, arguments, fault, environment or {}, self._output, inherited)
        os.close(inherited)
        self._timer: threading.Timer | None = None
        if fault is not None and fault.kind == SIGKILL:
            self._timer = threading.Timer(fault.at, self._kill)
            self._timer.start()

    def poll(self) -> int | None:
        """Returns the exit status, or minus the signal; None while it runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._end(status)
        return self.status

    def wait(self) -> int:
        """Returns the exit status, or minus the signal."""
        if self.status is None:
            self._end(os.waitpid(self.pid, 0)[1])
        assert self.status is not None
        return self.status

    def terminate(self) -> int:
        """Asks it to end, and waits until it has."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait()

    def printed(self) -> tuple[str, str]:
        """Returns what it has written to standard output and standard error."""
        out, err = (path.read_text() if path.exists() else "" for path in self._output[:2])
        return out, err

    def calls(self) -> int | None:
        """Returns the number of its I/O calls, if it ended by itself."""
        path = self._output[2]
        return int(path.read_text()) if path.exists() else None

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _end(self, status: int) -> None:
        self.status = os.waitstatus_to_exitcode(status)
        os.close(self._held)
        if self._timer is not None:
            self._timer.cancel()
            self._timer.join()


def _become(
    folder: Path,
    arguments: tuple[str, ...],
    fault: Fault | None,
    environment: dict[str, str],
    output: list[Path],
    stdin: int,
) -> None:
    """Turns this process into a start of the command."""
    status = CRASHED
    library = ctypes.CDLL(os.environ["IO_FAULTS"])
    out, err, calls = output
    try:
        calls.unlink(missing_ok=True)
        os.dup2(stdin, 0)
        if fault is not None and fault.kind in KINDS:
            below = str(folder / "run").encode()
            trace = os.environ.get("IO_FAULTS_TRACE", "").encode() or None
            library.io_faults_arm(
                below, ctypes.c_long(int(fault.at)), KINDS.index(fault.kind), trace
            )
        status = run_here(folder, arguments, out, err, environment)
        library.io_faults_disarm()
        library.io_faults_count.restype = ctypes.c_long
        calls.write_text(str(library.io_faults_count()))
    finally:
        os._exit(status)
