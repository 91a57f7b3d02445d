"""Behaviour of all commands that Hydra runs: one-line errors, no irrelevant warnings."""

import logging
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from hydra.errors import HydraException
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf.errors import OmegaConfBaseException

from lightning_badge.app.environment import hidden, watch
from lightning_badge.app.hydra_options import searched_first
from lightning_badge.app.stop_line import stop_line
from lightning_badge.app.suggestions import did_you_mean
from lightning_badge.app.supervise.child_side import is_supervised
from lightning_badge.app.system_errors import describe
from lightning_badge.exceptions import BadgeError
from lightning_badge.stopping import INTERRUPTED, TERMINATED, stops_by_signals

_OURS = (BadgeError, MisconfigurationException)
_WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"

_FALSE_ALARMS = (
    ".*does not have many workers",  # the data are small, and workers restart every epoch
    "Checkpoint directory .* exists and is not empty",  # it contains logs; the loop clears the rest
    "BadgeCallback: the pool is empty",  # the loop prints this itself
    "You defined a `validation_step` but have no",  # the loop says so itself
    r"`ModelCheckpoint\(monitor=.*could not find the monitored key",
    "Using `DistributedSampler` with the dataloaders",  # docs/scale.md says what that means
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # caused by Lightning's use of torch
)


@contextmanager
def one_line_errors(keys: Callable[[], Sequence[str]] = tuple) -> Iterator[None]:
    """Prints errors that the user can fix in one line; other errors keep their tracebacks.

    ``HYDRA_FULL_ERROR=1`` shows all tracebacks, as it does for Hydra's own errors.

    Args:
        keys: Returns the keys of the configuration, to suggest one for a key that does not exist.
    """
    try:
        yield
    except (*_OURS, HydraException, OmegaConfBaseException, OSError) as error:
        problem = describe(error) or describe(error.__cause__)
        is_strange = isinstance(error, OSError) and not isinstance(error, HydraException)
        if _WANTS_TRACEBACK or (is_strange and problem is None):
            raise
        if problem is not None:
            sys.exit(f"error: {hidden(problem)}")
        # Hydra wraps errors of constructors and appends its search path to messages.
        # Loggers raise ModuleNotFoundError with a message that names the package to install.
        wrapped = (*_OURS, ModuleNotFoundError)
        known = error.__cause__ if isinstance(error.__cause__, wrapped) else error
        text, _, _ = str(known).partition("Config search path")
        sys.exit(f"error: {hidden(_plain(' '.join(text.split()), keys))}")
    except (KeyboardInterrupt, SIGTERMException) as error:  # of a program that calls a command
        # Lightning's own exit would print nothing and return 0.
        if not is_supervised():  # else the supervisor says it
            print(stop_line(sys.argv[1:]), file=sys.stderr)
        sys.exit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else TERMINATED)


@contextmanager
def messages_on_stderr() -> Iterator[None]:
    """Prints what this package reports of its work, such as a pool that exceeds memory."""
    log, handler = logging.getLogger("lightning_badge"), logging.StreamHandler(sys.stderr)
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


def run(
    main: Callable[[], Any],
    arguments: Sequence[str] | None = None,
    *,
    program: str | None = None,
    keys: Callable[[], Sequence[str]] = tuple,
) -> None:
    """Runs a function decorated by ``hydra.main``.

    Args:
        main: The function.
        arguments: Overrides and options of Hydra; those of this process where None. A folder named
            by ``--config-dir`` is searched before the configurations of this package.
        program: Name of the command, for completions; that of this process where None.
        keys: Returns the keys of the configuration, for suggestions.
    """
    for message in _FALSE_ALARMS:
        warnings.filterwarnings("ignore", message)
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    argv, full_error = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv = [program or sys.argv[0], *searched_first(arguments)]
    watch()
    # Otherwise Hydra itself reports errors of composing the configuration, in many lines.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        how = partial(stop_line, arguments)
        with stops_by_signals(quiet=is_supervised(), how=how), one_line_errors(keys):
            main()
    finally:
        sys.argv = argv
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error


def _plain(text: str, keys: Callable[[], Sequence[str]]) -> str:
    """Returns Hydra's message with a suggestion, and without its advice to add unknown keys."""
    if found := re.search(r"Could not (?:override|append to config|find) '([^']+)'", text):
        wanted = found[1]
        if "Available options" in text:
            options = text.partition("Available options")[2].partition(":")[2].split()
            return text + did_you_mean(wanted.rpartition("/")[2], options)
        suggestion = did_you_mean(wanted, keys())
        return f"there is no key {wanted!r} in the configuration{suggestion}"
    return text
