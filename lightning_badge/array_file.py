"""Arrays of numpy in ``.npy`` and ``.npz`` files; objects in them, which run code, are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from lightning_badge.exceptions import BadgeError
from lightning_badge.file_limits import check_limit, decoded_limit, opened

Array = npt.NDArray[Any]


def read_npy(path: Path, error: type[BadgeError], *, is_written: bool = False) -> Array:
    """Maps an array into memory; a header that promises more than the file holds is refused.

    Args:
        path: The file.
        error: Exception class to raise.
        is_written: Whether the array may be changed in memory; the file stays as it is.

    Raises:
        BadgeError: The file is missing, damaged, of another kind, or holds objects.
    """
    with opened(path, "a .npy file with one array", error) as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError("an archive, or a file of another kind")
        found: Array = np.load(path, mmap_mode="c" if is_written else "r", allow_pickle=False)
        return found


def read_npz(path: Path, error: type[BadgeError], check: Callable[[list[str]], Any]) -> Any:
    """Returns the arrays of an archive by name.

    Args:
        path: The file.
        error: Exception class to raise.
        check: Gets the names of all arrays, and returns those to read.

    Raises:
        BadgeError: The file is missing, damaged, of another kind, too large once it is
            decompressed, or holds objects.
    """
    with opened(path, "an .npz file with arrays", error) as file:
        with ZipFile(file) as archive:
            size = path.stat().st_size
            sizes = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            names = check(sorted(sizes))
            decoded = sum(sizes[name].file_size for name in names)
            check_limit("decoded bytes", decoded, decoded_limit(size))
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
