"""What a run directory must not hold when it comes from somebody else.

Symbolic links would lead what is written or removed to files outside of it. A short YAML file may
stand for billions of values by aliases of aliases.
"""

import json
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lightning_badge.durable.file import what_is_wrong
from lightning_badge.exceptions import RunDirectoryError

_MOST_BYTES = 1 << 20
_MOST_VALUES = 100_000
# What this package writes or removes. Loggers make links of their own beside it.
_WRITTEN = (
    *("run.lock", "labels.db", "labels.db-wal", "labels.db-shm", "labels.db-journal"),
    *("config.yaml", "fresh.json", "learning_curve.csv", "learning_curve.png", "queries.csv"),
    *("rounds", "features", "page", "fine_tuned", "export", "query.csv", "label_studio.json"),
)
_WRITTEN_OF_ROUND = ("embedding",)


def refuse_links(run_path: Path) -> None:
    """Raises a RunDirectoryError if a symbolic link is in place of what is written or removed."""
    for path in _places(run_path):
        if path.is_symlink():
            raise RunDirectoryError(
                f"{path}: expected no symbolic link, because what it leads to would be written to "
                "or removed; remove the link (the run directory itself may be one)"
            )


def _places(run_path: Path) -> Iterator[Path]:
    yield from (run_path / name for name in _WRITTEN)
    rounds = run_path / "rounds"
    for folder in sorted(rounds.iterdir()) if rounds.is_dir() else ():
        yield folder
        yield from (folder / name for name in _WRITTEN_OF_ROUND)


def read_json_object(path: Path) -> Mapping[str, Any]:
    """Returns the values of a JSON file by name; none if it is missing or damaged."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_yaml(path: Path) -> Any:
    """Reads a YAML file of plain values, within limits of size and number of values.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be read.
        ValueError: It is something else, or exceeds a limit; the message is one short line.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"expected a file, got {what_is_wrong(path) or 'something else'}")
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"expected at most {_MOST_BYTES:,} bytes, got more")
    try:
        loader = yaml.SafeLoader(content.decode("utf-8"))
        node = loader.get_single_node()
        if node is None:
            return None
        if _count(node, {}) > _MOST_VALUES:
            raise ValueError(f"expected at most {_MOST_VALUES:,} values, got more by aliases")
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    except RecursionError as error:
        raise ValueError("values are nested too deeply") from error


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """Returns how many values a node stands for when all aliases are written out."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = _MOST_VALUES + 1  # until it is counted: a node in itself has no end
    children: list[yaml.Node] = []
    for entry in node.value:
        children += entry if isinstance(entry, tuple) else [entry]
    known[id(node)] = 1 + sum(_count(child, known) for child in children)
    return known[id(node)]
