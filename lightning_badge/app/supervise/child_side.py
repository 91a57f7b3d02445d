"""How a process behaves that the supervisor started; this module needs no torch."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLE = "LIGHTNING_BADGE_SUPERVISED"
CRASHED = 70  # the exit status after an error that is not of one line, as sysexits.h has it
GRACE_S = 10.0
_NICENESS = 10


def is_supervised() -> bool:
    """Returns whether the supervisor started this process."""
    return VARIABLE in os.environ


def end_with_supervisor() -> None:
    """Ends this process as soon as its supervisor has ended, even if that was killed.

    The supervisor holds the other end of standard input and never writes to it.
    """
    if is_supervised():
        threading.Thread(target=_wait_for_end, daemon=True).start()


def work_behind() -> None:
    """Gives way to other processes, such as the server of the page."""
    if is_supervised():
        os.nice(_NICENESS)


@contextmanager
def crash_status() -> Iterator[None]:
    """Tells the supervisor a crash from an error that people have to mend."""
    from lightning_badge.exceptions import BadgeError

    try:
        yield
    except BadgeError:
        raise
    except Exception:
        if not is_supervised():
            raise
        traceback.print_exc()
        sys.exit(CRASHED)


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_S)
    os.kill(os.getpid(), signal.SIGKILL)
