"""Starts of a command in forked processes: the imports, which take seconds, are made once.

What the interpreter and the imports do at a start of their own is not tested that way.
"""

import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What a command imports at once, and when it first loads data, draws or writes an ordering.
PRELOADED = [
    *("lightning_badge.app.run_loop", "lightning_badge.callback"),
    *("matplotlib.backends.backend_agg", "pandas", "sklearn.datasets"),
]
CRASHED = 70
# At the beginning of a program: the package and what it registered are imported anew.
ANEW = """
import sys
from omegaconf import OmegaConf
for name in [name for name in sys.modules if name.partition(".")[0] == "lightning_badge"]:
    del sys.modules[name]
OmegaConf.clear_resolvers()
"""


@dataclass(frozen=True)
class Ended:
    """How a start ended.

    Attributes:
        status: Exit status, or minus the signal.
        out: Standard output.
        err: Standard error.
    """

    status: int
    out: str
    err: str


def start(
    folder: Path, *arguments: str, largest_file: int | None = None, **environment: str
) -> Any:
    """Starts `lightning-badge` in a folder; returns the process.

    Args:
        folder: The working folder.
        *arguments: Of the command.
        largest_file: Bytes beyond which no file may grow; None for no limit.
        **environment: Further variables.
    """
    return _start(folder, arguments, largest_file, environment)


def start_program(folder: Path, code: str, *arguments: str, **environment: str) -> Any:
    """Starts the text of a Python program, as ``python -c`` does; returns the process."""
    return _start(folder, f"import sys\nsys.argv[1:] = {arguments!r}\n{code}", None, environment)


def run_program(folder: Path, code: str, *arguments: str, **environment: str) -> Ended:
    """Runs the text of a Python program to its end."""
    process = start_program(folder, code, *arguments, **environment)
    process.join()
    return ended(folder, process)


def context() -> Any:
    """Returns the context of `multiprocessing` whose processes are such forks."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    return found


def _start(
    folder: Path,
    what: Sequence[str] | str,
    largest_file: int | None,
    environment: dict[str, str],
) -> Any:
    given = (folder, what, largest_file, environment)
    process = context().Process(target=_become, args=given)
    process.start()
    return process


def run(folder: Path, *arguments: str, **more: Any) -> Ended:
    """Runs `lightning-badge` to its end."""
    process = start(folder, *arguments, **more)
    process.join()
    return ended(folder, process)


def ended(folder: Path, process: Any) -> Ended:
    """Returns how a process that has ended did so."""
    out, err = (folder / f"{process.pid}.{name}" for name in ("out", "err"))
    return Ended(process.exitcode, out.read_text(), err.read_text())


def _become(
    folder: Path,
    what: Sequence[str] | str,
    largest_file: int | None,
    environment: dict[str, str],
) -> None:
    out, err = (folder / f"{os.getpid()}.{name}" for name in ("out", "err"))
    if largest_file is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, hard))
    sys.exit(run_here(folder, what, out, err, environment))


def run_here(
    folder: Path, what: Sequence[str] | str, out: Path, err: Path, environment: Mapping[str, str]
) -> int:
    """Runs a command in this process, of which nothing else is left; returns its exit status.

    Args:
        folder: The working folder.
        what: The arguments of `lightning-badge`, or the text of a Python program.
        out: File for the standard output.
        err: File for the standard error.
        environment: Further variables.
    """
    from lightning_badge.app.main import main

    for number, path in enumerate((out, err), start=1):
        os.dup2(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o644), number)
    os.environ.update(environment)
    os.chdir(folder)
    try:
        if isinstance(what, str):
            sys.path.insert(0, "")
            exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
        else:
            main(what)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)  # as the interpreter does
    except BaseException:
        traceback.print_exc()
        status = CRASHED
    sys.stdout.flush()
    sys.stderr.flush()
    return status
