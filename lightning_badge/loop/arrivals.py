"""Samples that arrive while a run goes on: they join the data, and the log of samples.

The log is committed after the data accepted them, so a process that is killed finds them again.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import BadgeError
from lightning_badge.labels import Label
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.ordering import Ordering
from lightning_badge.sample_ids import SampleId, is_in
from lightning_badge.store.label_store import Cut, LabelStore

_log = logging.getLogger(__name__)


class Found(Protocol):
    """Samples that were found.

    Attributes:
        sample_ids: Their ids.
    """

    @property
    def sample_ids(self) -> Any:
        """As above."""
        ...


class Source(Protocol):
    """Where samples arrive.

    Attributes:
        every_s: Seconds from one `poll` to the next.
        is_waiting: Whether the last `poll` saw something that may be complete at the next one.
    """

    @property
    def every_s(self) -> float:
        """As above."""
        ...

    @property
    def is_waiting(self) -> bool:
        """As above."""
        ...

    def poll(self) -> Any:
        """Returns samples, a `Found`, that are new since the last call; None for none."""
        ...

    def read(self, sample_ids: Collection[SampleId]) -> Any:
        """Returns samples that arrived before, a `Found`, as far as they are there, or None."""
        ...


class Growing(Protocol):
    """Data to which samples can be added.

    If ``sample_ids`` lacks some samples, such as those for validation, a method ``all_ids`` returns
    the ids of all.
    """

    def arrive(self, found: Any) -> Mapping[SampleId, Label]:
        """Adds samples that the source found, and returns labels that came with them."""
        ...


class Arrivals:
    """Adds samples that arrive to the data of a run.

    Args:
        source: Where they arrive; None if none can.
        during: Whether the ordering of a round is made again for them, while it is labeled.
        after: Is called after samples were added, for example to embed them.
        clock: Returns seconds, to look no more often than the source says.
        sleep: Waits, until what was seen once can be seen again.
    """

    def __init__(
        self,
        source: Source | None = None,
        *,
        during: bool = False,
        after: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.during = during and source is not None
        self._source, self._after = source, after
        self._clock, self._sleep = clock, sleep
        self._waiting: list[Any] = []
        self._looked_at = -float("inf")

    @property
    def can_arrive(self) -> bool:
        """Whether samples can arrive."""
        return self._source is not None

    def begin(
        self, datamodule: ActiveLearningDataModule, store: LabelStore, labeled_set: LabeledSet
    ) -> None:
        """Is called once, while the data hold what the run began with.

        Args:
            datamodule: Is a `Growing`, if samples can arrive.
            store: Keeps the log of samples.
            labeled_set: Gets labels that come with samples.
        """
        self._data: Any = datamodule
        self._store, self._labeled_set = store, labeled_set
        if self.can_arrive:
            store.samples.begin(getattr(datamodule, "all_ids", datamodule.sample_ids.tolist)())
            self._joined = len(store.samples.began_with())

    def join(self, up_to: int) -> None:
        """Adds samples that arrived in an earlier process.

        Args:
            up_to: The sequence number of the last one, as a cut or an ordering has it.
        """
        if self._source is not None and up_to > self._joined:
            ids = self._store.samples.ids(after=self._joined, up_to=up_to)
            if (found := self._source.read(ids)) is not None:
                self._add(found)
            self._joined = up_to  # not the last one of the log: those behind it are not read yet

    def look(self) -> bool:
        """Looks for samples, if that is due; returns whether any wait to be added."""
        if self._source is None:
            return False
        now = self._clock()
        if now - self._looked_at >= self._source.every_s:
            self._looked_at = now
            if (found := self._source.poll()) is not None:
                self._waiting.append(found)
        return bool(self._waiting) or self._joined < self._store.samples.last()

    def take(self, *, wait: bool = False) -> int:
        """Adds all samples that arrived; returns their number.

        Args:
            wait: Whether to look once more for what was seen for the first time.
        """
        if self._source is None:
            return 0
        before = len(self._data.sample_ids)
        self.look()
        if wait and self._source.is_waiting:
            self._sleep(self._source.every_s)
            self.look()
        self.join(self._store.samples.last())
        waiting, self._waiting = self._waiting, []
        for found in waiting:
            self._add(found)
        added = len(self._data.sample_ids) - before
        if added:
            _log.info("%d samples arrived; the pool has %d", added, len(self._data.pool_ids))
        return added

    def last_of(self, cut: Cut) -> int:
        """Returns the last sample that a cut knows."""
        return cut.last_sample or self._joined

    @property
    def joined(self) -> int:
        """The sequence number of the last sample that the data hold."""
        return self._joined

    def present(self, ordering: Ordering) -> Ordering:
        """Returns an ordering without samples that vanished, for a pool that may have changed."""
        if not self.can_arrive:
            return ordering
        metadata = dict(ordering.metadata)
        metadata.pop("pool_fingerprint", None)
        is_there = is_in(ordering.sample_ids, self._data.sample_ids)
        columns: dict[str, Any] = {
            name: values[is_there] for name, values in ordering.columns().items()
        }
        if n := int((~is_there).sum()):
            _log.warning("%d samples of the ordering vanished; they are not asked for", n)
        return Ordering(sample_ids=ordering.sample_ids[is_there], metadata=metadata, **columns)

    def _add(self, found: Any) -> None:
        try:
            known = self._data.arrive(found)
            self._after()
        except BadgeError as error:
            _log.warning("%d samples that arrived are left out: %s", len(found.sample_ids), error)
            return
        self._labeled_set.know(known)
        self._store.samples.arrive(found.sample_ids)
        self._joined = self._store.samples.last()
