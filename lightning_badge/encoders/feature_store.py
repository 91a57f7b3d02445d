"""Features on disk: a memory-mapped array, and a database that says which rows are complete.

``features.npy`` is an ordinary array of float32 ``[n, width]`` with room for more rows at its end.
``rows.db`` has the key and the digest of each row's sample, and whether the row is complete. A row
counts as complete only after its numbers are on disk, so a process that is killed loses at most the
batch that it was computing.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lightning_badge.durable.database import Database, Schema
from lightning_badge.exceptions import EncoderError
from lightning_badge.sample_ids import name_ids

FEATURES = "features"  # the folder in a run directory
ARRAY, DATABASE = "features.npy", "rows.db"
_HEADER = 128  # bytes; longer than numpy's own, so that the number of rows can grow
_SCHEMA = Schema(
    "table of features",
    application_id=0x4C424645,
    version=1,
    statements=(
        "CREATE TABLE encoder (name TEXT NOT NULL, fingerprint TEXT NOT NULL, width INTEGER)",
        "CREATE TABLE rows (row INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "
        "digest BLOB NOT NULL, is_complete INTEGER NOT NULL DEFAULT 0)",
    ),
)

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Missing:
    """Rows that are not complete.

    Attributes:
        positions: Positions of their samples among those that were asked for, ``[m]``.
        rows: Their rows in the array, ``[m]``.
    """

    positions: list[int]
    rows: list[int]


class FeatureStore:
    """The features of one encoder for the samples of one run.

    Args:
        folder: The folder; created if missing.

    Raises:
        EncoderError: The folder or a file in it cannot be used.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        with self._one_line("cannot be used"):
            self.folder.mkdir(parents=True, exist_ok=True)
        self._database = Database(
            self.folder / DATABASE, _SCHEMA, error=EncoderError, timeout_s=30.0
        )

    def close(self) -> None:
        """Closes the database; arrays that were read stay valid."""
        self._database.close()

    def __enter__(self) -> "FeatureStore":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The array."""
        return self.folder / ARRAY

    def bind(self, name: str, fingerprint: str, width: int) -> None:
        """Remembers the encoder of these features, or checks that it is the same.

        Raises:
            EncoderError: The features are those of another encoder.
        """
        with self._database.transaction():
            stored = self._database.read("SELECT name, fingerprint, width FROM encoder")
            if not stored:
                values = (name, fingerprint, width)
                self._database.write("INSERT INTO encoder VALUES (?, ?, ?)", values)
            elif stored[0][1:] != (fingerprint, width):
                raise EncoderError(
                    f"{self.folder}: expected the encoder whose features it holds "
                    f"({stored[0][0]}, fingerprint {stored[0][1][:8]}), got {name} "
                    f"({fingerprint[:8]}); use that encoder, another run_dir, or start over with "
                    "fresh=true"
                )

    def reserve(self, keys: Sequence[str], digests: Sequence[bytes]) -> Missing:
        """Gives each new sample a row, and returns the rows that are not complete.

        Raises:
            EncoderError: A sample has changed, or the disk is full.
        """
        known = self._known()
        changed = [
            key
            for key, digest in zip(keys, digests, strict=True)
            if key in known and known[key][1] != digest
        ]
        if changed:
            raise EncoderError(
                f"{self.folder}: expected the samples as they were embedded, but the contents of "
                f"{name_ids(changed)} have changed; restore them, choose another run_dir, or "
                "start over with fresh=true"
            )
        new = [position for position, key in enumerate(keys) if key not in known]
        if new:
            self._grow(len(known) + len(new))
            with self._database.transaction():
                for row, position in enumerate(new, start=len(known)):
                    values = (row, keys[position], digests[position])
                    self._database.write(
                        "INSERT INTO rows (row, key, digest) VALUES (?, ?, ?)", values
                    )
            known = self._known()
        positions = [position for position, key in enumerate(keys) if not known[key][2]]
        return Missing(positions, [known[keys[position]][0] for position in positions])

    def complete(self, rows: Sequence[int], features: Features) -> None:
        """Stores rows; they are on disk when this returns.

        Raises:
            EncoderError: The disk is full, or a row is complete already.
        """
        width = self._width()
        assert features.shape == (len(rows), width)
        with self._one_line("cannot be written"):
            descriptor = os.open(self.path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                for row, numbers in zip(rows, features.astype("<f4"), strict=True):
                    # Not by the memory map: on a full disk, that ends the process with SIGBUS.
                    os.pwrite(descriptor, numbers.tobytes(), _HEADER + row * width * 4)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        with self._database.transaction():
            for row in rows:
                (was,) = self._database.read("SELECT is_complete FROM rows WHERE row = ?", (row,))
                if was[0]:
                    raise EncoderError(f"{self.folder}: row {row} is complete; it came twice")
                self._database.write("UPDATE rows SET is_complete = 1 WHERE row = ?", (row,))

    def read(self, keys: Sequence[str]) -> tuple[Features, list[int]]:
        """Returns the memory-mapped array and the rows of samples in it.

        Raises:
            EncoderError: A sample has no complete row.
        """
        known = self._known()
        if missing := [key for key in keys if key not in known or not known[key][2]]:
            raise EncoderError(
                f"{self.folder}: expected features of every sample, but {name_ids(missing)} have "
                "none; run the loop, which embeds them"
            )
        with self._one_line("cannot be read"):
            shape = (len(known), self._width())
            array = np.memmap(self.path, dtype="<f4", mode="r", offset=_HEADER, shape=shape)
        return array, [known[key][0] for key in keys]

    def counts(self) -> tuple[int, int]:
        """Returns the number of complete rows and of all rows."""
        ((complete, rows),) = self._database.read("SELECT total(is_complete), count(*) FROM rows")
        return int(complete), int(rows)

    def _known(self) -> dict[str, tuple[int, bytes, bool]]:
        rows = self._database.read("SELECT key, row, digest, is_complete FROM rows")
        return {key: (row, digest, bool(is_complete)) for key, row, digest, is_complete in rows}

    def _width(self) -> int:
        ((width,),) = self._database.read("SELECT width FROM encoder")
        return int(width)

    def _grow(self, count: int) -> None:
        """Makes room for rows before any is computed, so that a full disk is noticed at once."""
        width = self._width()
        with self._one_line(f"cannot hold {count:,} rows of {width} numbers"):
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            try:
                size = _HEADER + count * width * 4
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(descriptor, 0, size)
                else:
                    os.ftruncate(descriptor, size)
                os.pwrite(descriptor, _header(count, width), 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    @contextmanager
    def _one_line(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EncoderError(
                f"{self.folder}: features {what}: {reason}; make room or the folder writable, or "
                "choose another run_dir"
            ) from error


def _header(count: int, width: int) -> bytes:
    """Returns the header of a ``.npy`` file, format version 1.0, always of the same length."""
    described = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({count}, {width}), }}"
    prefix = b"\x93NUMPY\x01\x00" + (_HEADER - 10).to_bytes(2, "little")
    return prefix + described.ljust(_HEADER - 11).encode() + b"\n"
