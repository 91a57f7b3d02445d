"""Features that another program computed, in a ``.npy`` or Parquet file."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_badge.array_file import read_npy
from lightning_badge.exceptions import EncoderError
from lightning_badge.file_limits import one_line
from lightning_badge.sample_ids import SampleId, as_sample_ids, positions_of

SUFFIXES = (".npy", ".parquet")
_IDS, _COLUMN = "sample_id", "features"


@dataclass(frozen=True)
class Numbered:
    """Samples that are only their positions: what they hold is not needed."""

    keys: Sequence[str]
    kind: str = "tensors"

    def read(self, positions: Sequence[int]) -> list[Any]:
        """Returns the positions as tensors."""
        return [torch.tensor(position) for position in positions]


class PrecomputedFeatures:
    """Rows of a file, copied into the run.

    Args:
        path: A ``.npy`` file of floats ``[n, width]``, in the order of the samples, or a Parquet
            file with the columns ``sample_id`` and ``features`` in any order.
        sample_ids: Ids of all samples, in their order.

    Raises:
        EncoderError: The file cannot be read, or does not have a row for each sample.
    """

    pooling = "rows of the file"
    batch_size = 4096
    module = None

    def __init__(self, path: Path, sample_ids: Sequence[SampleId]) -> None:
        self.name, self._path = str(path), path
        if path.suffix == ".npy":
            self._rows: Any = _read_npy(path)
            self._row_of = range(len(self._rows))
            if len(self._rows) != len(sample_ids):
                raise EncoderError(
                    f"{path}: expected a row for each of {len(sample_ids)} samples, got "
                    f"{len(self._rows)} rows"
                )
        else:
            ids, self._rows = _read_parquet(path)
            wanted, known = as_sample_ids(sample_ids), as_sample_ids(ids, error=EncoderError)
            self._row_of = positions_of(
                wanted, known, what="the data", of=str(path), error=EncoderError
            ).tolist()
        self.width = int(self._rows.shape[1])

    def fingerprint(self) -> str:
        """Returns a digest of the file."""
        digest = hashlib.blake2b(digest_size=16)
        with self._path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return digest.hexdigest()

    def lengths(self, samples: Sequence[Any]) -> None:
        """Returns None: rows have one length."""

    def collate(self, samples: Sequence[Tensor]) -> list[int]:
        """Returns positions, of `Numbered` samples."""
        return [int(sample) for sample in samples]

    def embed(self, inputs: list[int]) -> Tensor:
        """Returns the rows of samples, ``[b, width]``."""
        rows = [self._row_of[position] for position in inputs]
        return torch.from_numpy(np.asarray(self._rows[rows], dtype=np.float32))


def _read_npy(path: Path) -> Any:
    array = read_npy(path, EncoderError)
    if array.ndim != 2 or array.dtype.kind != "f":
        raise EncoderError(
            f"encoder={path}: expected floats [n, width], got {array.dtype} {list(array.shape)}"
        )
    return array


def _read_parquet(path: Path) -> tuple[list[SampleId], Any]:
    from lightning_badge.parquet_file import read_parquet

    expected = f"a Parquet file with the columns {_IDS} and {_COLUMN} (lists of floats)"
    table = read_parquet(path, expected, EncoderError, columns=(_IDS, _COLUMN))
    with one_line(path, f"{expected} of one length", EncoderError):
        rows = np.array(table[_COLUMN].to_pylist(), dtype=np.float32)
        ids = table[_IDS].to_pylist()
    if rows.ndim != 2:
        raise EncoderError(f"encoder={path}: expected {_COLUMN} [n, width], got {list(rows.shape)}")
    return ids, rows
