"""The append-only log of a run's decisions that are not answers, by kind."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lightning_badge.durable.database import Database
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import as_plain
from lightning_badge.store.answer import as_json, now


@dataclass(frozen=True)
class Change:
    """A decision; ``change_id`` grows with every commit."""

    change_id: int
    kind: str
    facts: dict[str, Any]
    made_at: datetime


class ChangeLog:
    """Decisions of a run: the allowance of a round, the consensus, a class that was added.

    Args:
        database: The label store.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: str, **facts: Any) -> None:
        """Commits a decision in its own transaction.

        Args:
            kind: Its kind.
            **facts: Small JSON values.

        Raises:
            LabelError: A fact is not a JSON value.
        """
        with self._database.transaction():
            self.write(kind, facts)

    def write(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Writes a decision; call it in a transaction, with which it is committed.

        Args:
            kind: Its kind.
            facts: Small JSON values.

        Raises:
            LabelError: A fact is not a JSON value.
        """
        text = as_json(as_plain(facts, error=LabelError))
        self._database.write(
            "INSERT INTO changes (kind, facts, made_at) VALUES (?, ?, ?)", (kind, text, now())
        )

    def of(self, kind: str) -> list[Change]:
        """Returns the decisions of a kind in the order of commits."""
        return self._read("kind = ? ORDER BY change_id", kind)

    def last(self, kind: str) -> Change | None:
        """Returns the latest decision of a kind; None if there is none."""
        found = self._read("kind = ? ORDER BY change_id DESC LIMIT 1", kind)
        return found[0] if found else None

    def newest(self) -> tuple[int, str] | None:
        """Returns what identifies the latest decision of any kind; None without any."""
        rows = self._database.read(
            "SELECT change_id, made_at FROM changes ORDER BY change_id DESC LIMIT 1"
        )
        return tuple(rows[0]) if rows else None

    def _read(self, where: str, kind: str) -> list[Change]:
        rows = self._database.read(
            f"SELECT change_id, kind, facts, made_at FROM changes WHERE {where}", (kind,)
        )
        return [
            Change(change_id, name, json.loads(facts), datetime.fromisoformat(at))
            for change_id, name, facts, at in rows
        ]
