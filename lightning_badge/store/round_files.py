"""The files of a model that is needed later, and the digests by which damage to them is noticed.

``metrics.json`` is written last. What it names is on disk by then.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_badge.durable.digest import damage_of, sha256_of
from lightning_badge.durable.file import sync
from lightning_badge.store.foreign_files import read_json_object

CHECKPOINT, METRICS = "best.ckpt", "metrics.json"


def kept_files(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of a folder's checkpoint, by name, once it is on disk."""
    path = folder / CHECKPOINT
    if not path.is_file():  # a round that ordered without a model has none
        return {}
    sync(path)
    sync(folder)
    return {CHECKPOINT: sha256_of(path)}


def damage_of_checkpoint(folder: Path) -> str | None:
    """Returns what is wrong with a folder's checkpoint; None if nothing is known to be wrong."""
    files = read_facts(folder).get("files")
    recorded = files.get(CHECKPOINT) if isinstance(files, Mapping) else None
    found = damage_of(folder / CHECKPOINT, recorded if isinstance(recorded, str) else None)
    return None if found is None else f"{folder / CHECKPOINT}: {found}"


def read_facts(folder: Path) -> Mapping[str, Any]:
    """Returns what ``metrics.json`` holds; nothing if it is missing or damaged."""
    return read_json_object(folder / METRICS)
