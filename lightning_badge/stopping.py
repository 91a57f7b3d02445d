"""SIGTERM and Ctrl-C end a command by one exception, in whatever phase it is.

Lightning answers SIGTERM by a flag, which nobody reads while the pool is captured, ordered and
written, and Ctrl-C in ``fit`` and ``validate`` by ``sys.exit(1)``. A command of this package
therefore installs handlers of its own. They raise `StopRequested` in the main thread, where
transactions are rolled back and temporary files are removed as after any other exception. A second
signal ends the process at once, which loses nothing either.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, NoReturn

TERMINATED, INTERRUPTED = 128 + signal.SIGTERM, 128 + signal.SIGINT
SIGNALS = (signal.SIGTERM, signal.SIGINT)
HOW_TO_GO_ON = "stopped; run the same command again to continue"
# Variables of launchers in which a process other than the first has a number above 0.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")


class StopRequested(SystemExit):
    """Somebody asked the process to end; the code is 143 after SIGTERM and 130 after Ctrl-C."""


class _State:
    """What this process does about signals.

    Attributes:
        is_active: Whether a command runs.
        handlers: Handler of each signal.
        status: Exit status that was asked for; None if nobody did.
        pid: The process that installed the handlers; forked children inherit them.
        say: Says how to go on.
    """

    is_active: bool
    handlers: dict[signal.Signals, Any]
    status: int | None
    pid: int
    say: Callable[[], None]

    def __init__(self) -> None:
        self.is_active, self.handlers, self.status, self.pid = False, {}, None, os.getpid()
        self.say = lambda: None


_state = _State()


@contextmanager
def stops_by_signals(
    *, quiet: bool = False, how: Callable[[], str] = lambda: HOW_TO_GO_ON
) -> Iterator[None]:
    """Lets SIGTERM and Ctrl-C raise `StopRequested`, and says then in one line how to go on.

    A signal that the process ignores, as a background job of a shell does with Ctrl-C, stays
    ignored. Within another ``with`` block of this kind, and outside of the main thread, nothing
    changes. After a stop the handlers stay: the process ends.

    Args:
        quiet: Whether another process says it.
        how: Returns the line.
    """
    if _state.is_active or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _state.is_active, _state.status, _state.pid = True, None, os.getpid()
    _state.say = (lambda: None) if quiet or not _is_first() else partial(_say, how)
    _state.handlers = {n: _on_signal for n in SIGNALS if before[n] is not signal.SIG_IGN}
    take_signals()
    try:
        yield
    except StopRequested:
        _state.say()
        raise
    finally:
        _state.is_active = False
        if _state.status is None:
            for number in _state.handlers:
                signal.signal(number, before[number])


def take_signals() -> None:
    """Installs the handlers again, after Lightning put its own in their place."""
    if _state.is_active and threading.current_thread() is threading.main_thread():
        for number, handler in _state.handlers.items():
            signal.signal(number, handler)


def end_at_once_by_signals() -> None:
    """Lets signals end a process that owns nothing, even while it waits for other processes."""
    _state.handlers = dict.fromkeys(_state.handlers, signal.SIG_DFL)
    take_signals()


def is_stopping() -> bool:
    """Returns whether a signal has asked this process to end."""
    return _state.is_active and _state.status is not None


def check_stop() -> None:
    """Raises `StopRequested` if a signal came before and its exception was lost.

    Python drops exceptions that are raised in destructors and in some callbacks.
    """
    if _state.is_active and _state.status is not None:
        raise StopRequested(_state.status)


def end_now(status: int) -> NoReturn:
    """Says how to go on, unless that was said, and ends the process without any cleaning up."""
    _state.say()
    os._exit(status)


def _on_signal(number: int, frame: FrameType | None) -> None:
    if os.getpid() != _state.pid:  # a forked child, such as a worker of a DataLoader
        if number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    elif _state.status is None:
        _state.status = 128 + number
        raise StopRequested(_state.status)
    else:
        end_now(_state.status)


def _say(how: Callable[[], str]) -> None:
    _state.say = lambda: None
    print(how(), file=sys.stderr, flush=True)


def _is_first() -> bool:
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
