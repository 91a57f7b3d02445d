"""Leases: samples that are handed to labeling sessions for a limited time."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import AbstractContextManager

from lightning_badge.durable.database import Database
from lightning_badge.sample_ids import SampleId

_OF_TAB = "#"


def session_of(annotator: str, tab: str) -> str:
    """Returns the name of one of several sessions of an annotator.

    Args:
        annotator: The annotator.
        tab: Tells the sessions of an annotator apart; without ``#``.

    Example:
        >>> session_of("ann", "7f3a"), annotator_of(session_of("ann", "7f3a"))
        ('ann#7f3a', 'ann')
    """
    return f"{annotator}{_OF_TAB}{tab}"


def annotator_of(session: str) -> str:
    """Returns who works in a session: the annotator of `session_of`, else the session's name."""
    return session.rpartition(_OF_TAB)[0] or session


class Leases:
    """The table of leases; `Query` decides who gets which sample.

    Args:
        database: The label store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def transaction(self) -> AbstractContextManager[None]:
        """Returns a transaction: no other process leases or answers within it."""
        return self._database.transaction()

    def unexpired(self, now: float) -> dict[SampleId, set[str]]:
        """Returns the sessions that hold each leased sample.

        Args:
            now: The time, in seconds since 1970; leases that expire until then have ended.
        """
        held: dict[SampleId, set[str]] = defaultdict(set)
        for sample_id, session in self._database.read(
            "SELECT sample_id, session FROM leases WHERE expires_at > ?", (now,)
        ):
            held[sample_id].add(session)
        return dict(held)

    def of(self, session: str) -> dict[SampleId, float]:
        """Returns the samples of a session, expired leases too, and when each lease ends."""
        rows = self._database.read(
            "SELECT sample_id, expires_at FROM leases WHERE session = ? ORDER BY sample_id",
            (session,),
        )
        return dict(rows)

    def grant(
        self, session: str, sample_ids: Iterable[SampleId], *, now: float, expires_at: float
    ) -> None:
        """Leases samples to a session and removes expired leases; call it in ``transaction``."""
        self._database.write("DELETE FROM leases WHERE expires_at <= ?", (now,))
        for sample_id in sample_ids:
            values = (sample_id, session, expires_at)
            self._database.write("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", values)

    def renew(self, session: str, *, now: float, expires_at: float) -> None:
        """Prolongs all leases of a session that have not expired, in one transaction."""
        with self.transaction():
            self._database.write(
                "UPDATE leases SET expires_at = ? WHERE session = ? AND expires_at > ?",
                (expires_at, session, now),
            )

    def release(self, session: str, sample_ids: Iterable[SampleId] | None = None) -> None:
        """Ends leases of a session in one transaction.

        Args:
            session: The session.
            sample_ids: The samples; None for all that it holds.
        """
        with self.transaction():
            if sample_ids is None:
                self._database.write("DELETE FROM leases WHERE session = ?", (session,))
            else:
                self.end(session, sample_ids)

    def end(self, session: str, sample_ids: Iterable[SampleId]) -> None:
        """Ends leases of a session; call it in ``transaction``."""
        for sample_id in sample_ids:
            self._database.write(
                "DELETE FROM leases WHERE (session, sample_id) = (?, ?)", (session, sample_id)
            )
