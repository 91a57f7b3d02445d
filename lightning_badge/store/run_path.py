"""What may be given as the folder of a run."""

import os
from pathlib import Path

from lightning_badge.exceptions import RunDirectoryError

_SHOWN = 100


def folder_of_run(value: object) -> Path:
    """Returns the absolute path of the folder that a user names; it need not exist.

    Args:
        value: A path. Numbers and lists, which YAML makes of some texts, are refused.

    Raises:
        RunDirectoryError: Not a path of this machine, or one that can be no folder; in one line.

    Example:
        >>> folder_of_run("runs/../runs/digits") == Path.cwd() / "runs" / "digits"
        True
    """
    if not isinstance(value, str | os.PathLike) or not os.fspath(value).strip():
        hint = f"; run_dir=./{value} is a folder of that name" if _is_number(value) else ""
        raise RunDirectoryError(f"run_dir: expected the path of a folder, got {value!r}{hint}")
    text = os.fspath(value)
    if "://" in text:
        raise RunDirectoryError(
            f"run_dir: expected a folder of this machine, got {_shortened(text)!r}; mount it first"
        )
    try:
        path = Path(text).expanduser().resolve()
        is_other = not path.is_dir() if _is_there(path) else False
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: links that form a loop
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise RunDirectoryError(
            f"run_dir: {_shortened(text)}: cannot be used as a folder: {_shortened(str(reason))}; "
            "choose another one"
        ) from error
    if is_other:
        raise RunDirectoryError(
            f"{path}: cannot be used as a folder: it is a file; choose another run_dir"
        )
    if "::" in str(path):
        raise RunDirectoryError(
            f"run_dir: {_shortened(str(path))}: expected a path without '::', which the libraries "
            "that write checkpoints take for a chain of file systems; choose another one"
        )
    return path


def _is_there(path: Path) -> bool:
    """Returns whether something has this path; raises OSError if nothing can ever have it."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
