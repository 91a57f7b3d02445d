"""What the scripts share: errors in one line where the user can mend them, and no false alarms."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Read when torch is imported. Threads that spin while they wait for one another make a small model
# fifty times slower as soon as another process wants a core; asleep they cost little.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hydra.errors import HydraException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf.errors import OmegaConfBaseException

from lightning_badge.exceptions import BadgeError

STOPPED = 143  # what a shell says of a process that SIGTERM ended
_OURS = (BadgeError, MisconfigurationException)
_WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"

_FALSE_ALARMS = (
    ".*does not have many workers",  # the data are small, and workers start anew every epoch
    "Checkpoint directory .* exists and is not empty",  # with logs: the loop clears it before
    "BadgeCallback: the pool is empty",  # the loop says so itself
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # how Lightning uses torch
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Says in one line what the user can mend; everything else keeps its traceback.

    ``HYDRA_FULL_ERROR=1`` shows all tracebacks, as Hydra's own reports do.
    """
    try:
        yield
    except (*_OURS, HydraException, OmegaConfBaseException) as error:
        if _WANTS_TRACEBACK:
            raise
        # Hydra wraps what a constructor raises, and shows where it looks for configurations.
        # A logger's package that is missing is named by the logger, with what installs it.
        wrapped = (*_OURS, ModuleNotFoundError)
        known = error.__cause__ if isinstance(error.__cause__, wrapped) else error
        text, _, _ = str(known).partition("Config search path")
        sys.exit(f"error: {' '.join(text.split())}")
    except (KeyboardInterrupt, SIGTERMException):
        # Lightning's own exit would be silent and count as a success.
        print("stopped; the same command goes on where this one stood", file=sys.stderr)
        sys.exit(STOPPED)


def run(main: Callable[[], Any]) -> None:
    """Runs a function that ``hydra.main`` decorates."""
    for message in _FALSE_ALARMS:
        warnings.filterwarnings("ignore", message)
    # Otherwise Hydra reports what composing a configuration raises by itself, in many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with one_line_errors():
        main()
