"""When samples that arrive join a run: before a round's training, or while its query is labeled."""

import shutil
from collections.abc import Callable

from lightning_badge.embedding_folder import EMBEDDING
from lightning_badge.labelers.base import Labelers
from lightning_badge.loop.arrivals import Arrivals
from lightning_badge.loop.editions import Editions
from lightning_badge.ordering import Ordering
from lightning_badge.ordering_file import read_ordering
from lightning_badge.store.label_store import Cut, LabelStore
from lightning_badge.store.next_sample import Query
from lightning_badge.store.run_directory import RunDirectory


class Growth:
    """Adds the samples that arrive at the moments at which a round may know them.

    Args:
        arrivals: Adds them to the data.
        editions: Makes orderings again.
        run_directory: Holds the orderings.
        store: Holds the cuts.
        labelers: Who answers.
        prepare: Prepares the labelers for data that changed.
    """

    def __init__(
        self,
        arrivals: Arrivals,
        editions: Editions,
        run_directory: RunDirectory,
        store: LabelStore,
        labelers: Labelers,
        prepare: Callable[[], None],
    ) -> None:
        self._arrivals, self._editions = arrivals, editions
        self._directory, self._store = run_directory, store
        self._labelers, self._prepare = labelers, prepare

    def restore(self, round: int, cut: Cut) -> None:
        """Adds what arrived before the newest ordering of a round, of an earlier process, was made.

        Args:
            round: The round.
            cut: Its cut.
        """
        if not self._arrivals.can_arrive:
            return
        path, last = self._directory.ordering_path(round), 0
        if path.exists():
            last = int(read_ordering(path).metadata.get("last_sample", 0))
        self._arrivals.join(max(last, self._arrivals.last_of(cut)))

    def before_training(self, round: int) -> bool:
        """Adds all that arrived before a round, unless its ordering was published before.

        Args:
            round: The round, before its cut.

        Returns:
            Whether there was any.
        """
        if not self._arrivals.can_arrive:
            return False
        self._remove_embeddings(round)
        if self._store.answers(round):
            self.restore(round, self._store.cuts(round)[-1])
            return False
        is_any = bool(self._arrivals.take(wait=True))
        if is_any:
            self._prepare()
        return is_any

    def is_due(self) -> bool:
        """Returns whether the ordering of the round is to be made again; looks for samples."""
        return self._arrivals.look() and self._arrivals.during

    def edition(self, query: Query) -> Ordering | None:
        """Makes the ordering of a query again, with what arrived.

        Returns:
            The ordering; None if nothing can be ranked now.
        """
        if not self._arrivals.take():
            return None
        self._prepare()
        exported = getattr(self._labelers, "exported", ())
        return self._editions.publish(query, exported, last_sample=self._arrivals.joined)

    def _remove_embeddings(self, before: int) -> None:
        """Removes the embeddings of earlier rounds, whose orderings are not made again."""
        for round in range(before):
            shutil.rmtree(self._directory.round_path(round) / EMBEDDING, ignore_errors=True)
