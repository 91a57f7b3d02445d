"""Samples that arrive in a folder, or at the end of a file, while a run goes on."""

import logging
import os
from collections.abc import Collection, Iterator
from pathlib import Path

from lightning_badge.datamodule.folder.find import SampleSource
from lightning_badge.datamodule.folder.images import SUFFIXES
from lightning_badge.datamodule.folder.samples import Samples
from lightning_badge.exceptions import BadgeError
from lightning_badge.sample_ids import SampleId

_log = logging.getLogger(__name__)

Signature = tuple[int, int]  # size in bytes, and time of the last change in ns


class FolderWatch:
    """Finds samples that are not known yet.

    A file counts once its size and its time of change are the same in two calls of `poll`, so that
    one that is still being written is not read. Samples that are known are never read again:
    changes of their files and rows that vanish have no effect. Nothing that happens to the files is
    an error; what cannot be read is named once, and left out until it changes.

    Args:
        source: Where the samples are.
        samples: Those that are known.

    Attributes:
        every_s: Seconds from one `poll` to the next.
        is_waiting: Whether the last `poll` saw something that may be complete at the next one.
    """

    every_s = 2.0

    def __init__(self, source: SampleSource, samples: Samples) -> None:
        self._source, self._like = source, samples
        self._known: set[SampleId] = set(samples.sample_ids)
        self._seen: dict[Path, Signature] = {}
        self._done: dict[Path, Signature] = {}  # of files that were read, or cannot be read
        self._told: set[str] = set()
        self.is_waiting = False

    def poll(self) -> Samples | None:
        """Returns the samples that are new and complete; None if there are none."""
        now = dict(self._candidates())
        complete = [path for path, found in now.items() if self._seen.get(path) == found]
        self._seen = now
        self.is_waiting = len(complete) < len(now)
        if not complete:
            return None
        for path in complete:
            self._done[path] = now[path]
        return self._read(complete, None)

    def read(self, sample_ids: Collection[SampleId]) -> Samples | None:
        """Returns samples that arrived in an earlier process, as far as they are there."""
        return self._read([path for path, _ in self._candidates()], set(sample_ids))

    def _candidates(self) -> Iterator[tuple[Path, Signature]]:
        """Yields the files that may hold samples that are not known, with their signatures."""
        for path in self._files():
            try:
                status = path.stat()
            except OSError:
                continue
            signature = (status.st_size, status.st_mtime_ns)
            if self._done.get(path) != signature:
                yield path, signature

    def _files(self) -> Iterator[Path]:
        if self._like.kind != "images":
            try:
                yield self._source.row_file()
            except BadgeError as error:
                self._tell(str(error))
            return
        root = self._source.path
        for folder, folders, names in os.walk(root):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                is_image = path.suffix.lower() in SUFFIXES and not name.startswith(".")
                if is_image and path.relative_to(root).as_posix() not in self._known:
                    yield path

    def _read(self, paths: list[Path], only: Collection[SampleId] | None) -> Samples | None:
        try:
            found = self._read_new(sorted(paths), only)
        except BadgeError as error:
            self._tell(str(error))
            return None
        if found is None:
            return None
        for name, reason in found.left_out.items():
            if name not in self._like.left_out:
                self._tell(
                    f"{name}: left out until it changes, because it cannot be read: {reason}"
                )
        self._known.update(found.sample_ids)
        return found

    def _read_new(self, paths: list[Path], only: Collection[SampleId] | None) -> Samples | None:
        if not paths:
            return None
        if self._like.kind == "images":
            root = self._source.path
            if only is not None:
                paths = [path for path in paths if path.relative_to(root).as_posix() in only]
            return self._source.read_images(paths) if paths else None
        rows = self._source.read_rows()
        wanted = rows.where(lambda key: key not in self._known and (only is None or key in only))
        if type(rows.sample_ids[0]) is not type(self._like.sample_ids[0]):
            raise BadgeError(
                f"{paths[0]}: expected sample ids like {self._like.sample_ids[0]!r}, got "
                f"{rows.sample_ids[0]!r}; new rows are not read"
            )
        return self._source.more(wanted, self._like) if wanted.sample_ids else None

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            _log.warning("%s", message)
