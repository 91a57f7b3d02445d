"""Command-line behaviour of all scripts: one-line errors, no irrelevant warnings."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Must be set before torch is imported. OpenMP threads that spin while waiting make a small model
# fifty times slower as soon as another process needs a core; with PASSIVE they sleep instead.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hydra.errors import HydraException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf.errors import OmegaConfBaseException

from lightning_badge.exceptions import BadgeError

STOPPED = 143  # the exit status of a process ended by SIGTERM: 128 + 15
_OURS = (BadgeError, MisconfigurationException)
_WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"

_FALSE_ALARMS = (
    ".*does not have many workers",  # the data are small, and workers restart every epoch
    "Checkpoint directory .* exists and is not empty",  # it contains logs; the loop clears the rest
    "BadgeCallback: the pool is empty",  # the loop prints this itself
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # caused by Lightning's use of torch
)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Prints errors that the user can fix in one line; other errors keep their tracebacks.

    ``HYDRA_FULL_ERROR=1`` shows all tracebacks, as it does for Hydra's own errors.
    """
    try:
        yield
    except (*_OURS, HydraException, OmegaConfBaseException) as error:
        if _WANTS_TRACEBACK:
            raise
        # Hydra wraps errors of constructors and appends its search path to messages.
        # Loggers raise ModuleNotFoundError with a message that names the package to install.
        wrapped = (*_OURS, ModuleNotFoundError)
        known = error.__cause__ if isinstance(error.__cause__, wrapped) else error
        text, _, _ = str(known).partition("Config search path")
        sys.exit(f"error: {' '.join(text.split())}")
    except (KeyboardInterrupt, SIGTERMException):
        # Lightning's own exit would print nothing and return 0.
        print("stopped; run the same command again to continue", file=sys.stderr)
        sys.exit(STOPPED)


def run(main: Callable[[], Any]) -> None:
    """Runs a function decorated by ``hydra.main``."""
    for message in _FALSE_ALARMS:
        warnings.filterwarnings("ignore", message)
    # Otherwise Hydra itself reports errors of composing the configuration, in many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    with one_line_errors():
        main()
