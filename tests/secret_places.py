"""Where a secret stands in the files of a run."""

from pathlib import Path


def files_with(secret: str, folder: Path) -> set[str]:
    """Returns the files below a folder that hold a text, relative to it."""
    return {
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    }
