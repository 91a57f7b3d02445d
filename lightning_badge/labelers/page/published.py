"""The published query that the server hands out: it follows the allowance of the loop."""

import json
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from lightning_badge.exceptions import ArtifactError
from lightning_badge.labelers.page.page_files import Page
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.changes import Change
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import Cut, LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.run_directory import RunDirectory

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Edition:
    """One ordering as it was published.

    Attributes:
        round: The round of the allowance.
        attempt: The attempt at the round.
        written: Identifies the ordering file; None if there is none, because the pool is empty.
    """

    round: int
    attempt: int
    written: tuple[int, int] | None


class Published:
    """The query of the latest allowance.

    A newer ordering is read in another thread while the query before it goes on.

    Args:
        directory: The run directory.
        store: The label store.
        page: What concerns the whole run.
        classes: The classes of the run.
        can_show: Whether a sample can be shown. An ordering of others, which arrived later, is for
            whoever opens the run again.
    """

    def __init__(
        self,
        directory: RunDirectory,
        store: LabelStore,
        page: Page,
        classes: ClassList,
        can_show: Callable[[SampleId], bool],
    ) -> None:
        self._directory = directory
        self._store = store
        self._page = page
        self._classes = classes
        self._can_show = can_show
        self._change_id: int | None = None
        self._edition: Edition | None = None
        self._query: Query | None = None
        self._reader = ThreadPoolExecutor(1, "ordering")
        self._next: Future[tuple[Edition, Query | None]] | None = None
        self._failed: Edition | None = None

    def close(self) -> None:
        """Ends the thread that reads orderings."""
        self._reader.shutdown(wait=True)

    def query(self, allowance: Change | None) -> Query | None:
        """Returns the query that is handed out now; None before the first ordering.

        Args:
            allowance: The latest allowance.
        """
        if self._next is not None and self._next.done():
            self._adopt(self._next)
            self._next = None
        if allowance is not None and allowance.change_id != self._change_id:
            self._look(allowance)
        return self._query

    def _look(self, allowance: Change) -> None:
        """Begins to read the ordering of an allowance, if it is another one."""
        if self._next is not None:
            return
        edition = self._edition_of(int(allowance.facts["round"]))
        if edition is None:  # it is being written again
            return
        if edition == self._edition:
            self._change_id = allowance.change_id
            return
        if edition == self._failed:
            return
        self._next = self._reader.submit(self._read, edition)
        if self._query is None:  # nobody can be served meanwhile
            self._adopt(self._next)
            self._next = None

    def _adopt(self, future: "Future[tuple[Edition, Query | None]]") -> None:
        try:
            edition, query = future.result()
            if query is None:
                self._failed = edition
            else:
                self._edition, self._query = edition, query
        except _UnreadableError as error:
            self._failed = error.edition
            _log.error("%s; the page goes on with what it has", error)

    def _edition_of(self, round: int) -> Edition | None:
        """Returns the edition of a round that is on disk; None if its files are not whole."""
        try:
            text = self._directory.metrics_path(round).read_text(encoding="utf-8")
            attempt = int(json.loads(text).get("attempt", 0))
        except (OSError, ValueError):
            return None
        try:
            status = self._directory.ordering_path(round).stat()
        except FileNotFoundError:
            return Edition(round, attempt, None)
        return Edition(round, attempt, (status.st_ino, status.st_mtime_ns))

    def _read(self, edition: Edition) -> tuple[Edition, Query | None]:
        try:
            ordering = (
                Ordering(sample_ids=np.array([], np.int64))
                if edition.written is None
                else read_ordering(self._directory.ordering_path(edition.round))
            )
        except ArtifactError as error:
            raise _UnreadableError(str(error), edition) from error
        if not all(map(self._can_show, ordering)):
            return edition, None
        query = Query(
            self._store,
            self._cut(edition),
            ordering,
            classes=self._classes,
            validation=self._page.validation,
            overlap=self._page.overlap,
            initial=self._page.initial,
        )
        return edition, query

    def _cut(self, edition: Edition) -> Cut:
        found = self._store.cut_of(edition.round, edition.attempt)
        if found is None:
            path = self._directory.metrics_path(edition.round)
            raise _UnreadableError(f"{path}: attempt {edition.attempt} has no cut", edition)
        return found


class _UnreadableError(Exception):
    """An ordering that cannot be read."""

    def __init__(self, text: str, edition: Edition) -> None:
        super().__init__(text)
        self.edition = edition
