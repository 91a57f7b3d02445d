"""Memory for the rows of a pool: main memory, or a file that is mapped where that is too small."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.exceptions import EmbeddingError

# Of the free memory; an ordering needs some for itself, and so do others.
SHARE = 0.5
_ALIGNED = 4096
_MEMINFO, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")
_DTYPES: dict[torch.dtype, Any] = {torch.float32: np.float32, torch.float64: np.float64}
_log = logging.getLogger(__name__)


def free_memory() -> int | None:
    """Returns the bytes that can be allocated without swapping; None if the system does not say.

    The limit of a container counts if it is lower than the memory of the machine.
    """
    found = [free for free in (_free_of_machine(), _free_of_container()) if free is not None]
    return min(found, default=None)


def matrices(
    shapes: Sequence[tuple[int, int]], dtype: torch.dtype, folder: Path, what: str
) -> list[Tensor]:
    """Allocates matrices in main memory, or in a file if they need too large a share of that.

    The file has no name, so that it disappears with the process, also if that is killed.

    Args:
        shapes: Rows and columns of each.
        dtype: float32 or float64.
        folder: Where the file is made if it can be written, else where temporary files are.
        what: Subject of messages.

    Returns:
        Matrices with arbitrary content.

    Raises:
        EmbeddingError: Neither memory nor disk has room for them.
    """
    size = dtype.itemsize
    needed, free = sum(n * d * size for n, d in shapes), free_memory()
    if free is None or needed <= SHARE * free:
        return [torch.empty(shape, dtype=dtype) for shape in shapes]
    starts = [0]
    for n, d in shapes:
        starts.append(-(-(starts[-1] + n * d * size) // _ALIGNED) * _ALIGNED)
    place, file = _file_in(folder, starts[-1], what)
    with file:
        mapped = [
            torch.from_numpy(np.memmap(file, _DTYPES[dtype], "r+", start, shape))
            for shape, start in zip(shapes, starts, strict=False)
        ]
    _log.info(
        "%s: its rows need %.2f GiB, and %.2f GiB of memory are free, so they lie in a file in %s, "
        "which is removed at the end",
        *(what, needed / 2**30, free / 2**30, place),
    )
    return mapped


def _file_in(folder: Path, size: int, what: str) -> tuple[Path, Any]:
    """Returns a folder and a file in it without a name, whose space is reserved."""
    reasons = []
    for place in (folder, Path(tempfile.gettempdir())):
        try:
            file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 - the caller closes it
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
            continue
        try:
            # Otherwise a full disk ends the process with SIGBUS.
            os.posix_fallocate(file.fileno(), 0, max(size, 1))
        except OSError as error:
            file.close()
            reasons.append(f"{place}: {error.strerror}")
        else:
            return place, file
    raise EmbeddingError(
        f"{what}: expected {size / 2**30:.2f} GiB of disk space for rows that exceed memory, got "
        f"{'; '.join(dict.fromkeys(reasons))}; free some, or set TMPDIR to a larger disk"
    )


def _free_of_machine() -> int | None:
    try:
        lines = _MEMINFO.read_text().splitlines()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in lines)
    return int(found["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in found else None


def _free_of_container() -> int | None:
    try:
        limit = int((_CGROUP / "memory.max").read_text())
        used = int((_CGROUP / "memory.current").read_text())
        stat = (_CGROUP / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):  # no limit is the word max
        return None
    cached = int(dict(line.split() for line in stat).get("file", 0))
    return max(0, limit - used + cached)
