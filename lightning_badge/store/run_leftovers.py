"""Temporary files that a killed loop left in its run directory."""

import re
from pathlib import Path

from lightning_badge.durable.leftovers import sweep

# The files that the process with the lock of the run directory replaces. No other process does.
_TOP = re.compile(
    r"config\.yaml|label_studio\.json|learning_curve\.(csv|png)|queries\.csv"
    r"|query(-[a-z-]+)?\.(csv|jsonl?|fiftyone)"
)
_IN_ROUND = re.compile(r"metrics\.json|ordering(-\d+)?\.parquet|review\.parquet")
_IN_EMBEDDING = re.compile(r"embedding\.json")
_IN_PAGE = re.compile(r"page\.json|samples\.parquet")
_IN_ANSWERS = re.compile(r"query-[0-9a-f]{8}\.csv")


def sweep_run(path: Path) -> list[Path]:
    """Removes them; call it with the lock of the run directory, which a living loop would hold.

    Args:
        path: The run directory.

    Returns:
        What was removed.
    """
    rounds = [folder for folder in (path / "rounds").glob("*") if folder.is_dir()]
    places = [
        (path, _TOP),
        (path / "page", _IN_PAGE),
        (path / "answers", _IN_ANSWERS),
        *((folder, _IN_ROUND) for folder in rounds),
        *((folder / "embedding", _IN_EMBEDDING) for folder in rounds),
    ]
    return [
        removed
        for folder, names in places
        if folder.is_dir() and not folder.is_symlink()
        for removed in sweep(folder, names.fullmatch, idle_s=0)
    ]
