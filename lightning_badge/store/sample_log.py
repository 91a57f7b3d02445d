"""The samples of a run in the order in which they came: those it began with, and arrivals."""

import json
from collections.abc import Iterable

from lightning_badge.durable.database import Database
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import as_json, now

_ARRIVED = {"arrived": True}


class SampleLog:
    """The table of samples, of runs in which samples may arrive; else it is empty.

    A cut records the last sample that its round knows.

    Args:
        database: The label store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, sample_ids: Iterable[SampleId]) -> None:
        """Commits the samples that a run begins with, unless it has some."""
        with self._database.transaction():
            if not self.last():
                self._add(sample_ids, {})

    def arrive(self, sample_ids: Iterable[SampleId]) -> None:
        """Commits samples that arrived; those that are known stay where they are."""
        with self._database.transaction():
            known = set(self.ids())
            self._add((key for key in sample_ids if key not in known), _ARRIVED)

    def last(self) -> int:
        """Returns the sequence number of the latest sample; 0 without any."""
        ((last,),) = self._database.read("SELECT coalesce(max(sequence), 0) FROM samples")
        return int(last)

    def ids(self, *, after: int = 0, up_to: int | None = None) -> list[SampleId]:
        """Returns samples in the order in which they came.

        Args:
            after: Only those behind this sequence number.
            up_to: Only those up to this one; None for all.
        """
        rows = self._database.read(
            "SELECT sample_id FROM samples WHERE sequence > ? AND sequence <= ? ORDER BY sequence",
            (after, self.last() if up_to is None else up_to),
        )
        return [sample_id for (sample_id,) in rows]

    def arrived_after(self, sequence: int) -> int:
        """Returns how many samples arrived behind a sequence number."""
        ((count,),) = self._database.read(
            "SELECT count(*) FROM samples WHERE sequence > ? AND facts = ?",
            (sequence, as_json(_ARRIVED)),
        )
        return int(count)

    def began_with(self) -> list[SampleId]:
        """Returns the samples that the run began with."""
        rows = self._database.read("SELECT sample_id, facts FROM samples ORDER BY sequence")
        return [sample_id for sample_id, facts in rows if json.loads(facts) != _ARRIVED]

    def _add(self, sample_ids: Iterable[SampleId], facts: dict[str, bool]) -> None:
        text, at = as_json(facts), now()
        for sample_id in sample_ids:
            self._database.write(
                "INSERT INTO samples (sample_id, facts, added_at) VALUES (?, ?, ?)",
                (sample_id, text, at),
            )
