"""A run that is labeled: its files, its store, and how far it is."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning_badge.durable.file import identity_of
from lightning_badge.labelers.page.page_files import Page, page_json_path
from lightning_badge.labelers.page.published import Published
from lightning_badge.labelers.page.samples import read_run
from lightning_badge.labelers.page.tally import Tally
from lightning_badge.labels import SKIP, Label, Skip, Undo
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.allowance import ALLOWANCE, allowed, ended
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.kept_answers import check_answers
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Offer, Query
from lightning_badge.store.run_directory import RunDirectory


class OpenRun:
    """A run whose files are whole; used by one thread, but for ``page``, ``samples`` and ``store``.

    Args:
        path: The run directory.

    Attributes:
        page: What concerns the whole run.
        samples: Its samples.
        store: Its label store.
        classes: Its classes.
        tally: Its labels in force.

    Raises:
        BadgeError: A file is missing or damaged, or the store has lost answers.
    """

    def __init__(self, path: Path) -> None:
        directory = RunDirectory(path)
        self.directory = directory
        self.page, self.samples = read_run(directory.path)
        self.store = LabelStore(directory.labels_path)
        try:
            check_answers(directory, self.store)
        except BaseException:
            self.store.close()
            raise
        page: Page = self.page
        self.classes = ClassList(
            self.store,
            page.class_names,
            accept_changes=page.accept_changes,
            multilabel=page.multilabel,
        )
        self._class_names = page.class_names
        self.store.accept_only(self._reason)
        self.tally = Tally(self.store, page.initial)
        self._published = Published(
            directory, self.store, page, self.classes, self.samples.__contains__
        )
        self.query: Query | None = None
        self._example: dict[int, SampleId] = {}
        for sample_id, label in page.initial.items():
            self._add_example(sample_id, label)

    def close(self) -> None:
        """Closes the store."""
        self._published.close()
        self.store.close()

    def refresh(self) -> Query | None:
        """Returns the query that is handed out now, by what is committed; None before the first."""
        self.query = self._published.query(self.store.changes.last(ALLOWANCE))
        return self.query

    def newest_round(self) -> int:
        """Returns the latest round that may have offered a sample."""
        allowance = allowed(self.store.changes)
        return 0 if allowance is None else int(allowance["round"])

    def has_ended(self) -> bool:
        """Returns whether the loop has ended, and no newer allowance continues it."""
        return ended(self.store.changes) is not None

    def class_names(self) -> tuple[str, ...]:
        """Returns the classes, with those that answers added."""
        names = self.classes.names()
        assert names is not None, "the page has names, perhaps none"
        self._class_names = names
        return names

    def item(self, offer: Offer, query: Query | None) -> dict[str, Any]:
        """Returns a sample as the page shows it."""
        guess = guess_of(query, offer.rank) if self.page.guess and query else None
        return {
            **self.samples.shown(offer.sample_id),
            "round": offer.round,
            "rank": offer.rank,
            "guess": guess,
        }

    def examples(self) -> dict[str, Any]:
        """Returns one labeled sample for each class that has any."""
        self.tally.follow()
        found = dict(self._example)
        for sample_id, answer in self.tally.in_force.items():
            if not isinstance(answer.label, Skip | Undo):
                for number in classes_of(answer.label):
                    found.setdefault(number, sample_id)
        return {
            str(number): self.shown_only(sample_id)
            for number, sample_id in sorted(found.items())
            if sample_id in self.samples
        }

    def shown_only(self, sample_id: SampleId) -> dict[str, Any]:
        """Returns a sample that is shown and not asked for."""
        return {**self.samples.shown(sample_id), "round": None, "rank": None, "guess": None}

    def progress(self, labeler: str) -> dict[str, Any]:
        """Returns how far the run is, for one labeler."""
        self.tally.follow()
        query = self.query
        state, reason = self._state(query)
        is_current = query is not None and query.round == self.newest_round()
        left = query.left() if query is not None and is_current else math.inf
        return {
            "round": None if query is None else query.round,
            "state": state,
            "reason": reason,
            "labels": self.tally.labels,
            "mine": self.tally.of(labeler),
            "samples": len(self.samples),
            "left": None if left == math.inf else max(0, int(left)),
            "classes": len(self.class_names()),
            "remains": None if query is None else query.remains(),
        }

    def _state(self, query: Query | None) -> tuple[str, str | None]:
        allowance, end = allowed(self.store.changes), ended(self.store.changes)
        if end is not None:
            return "ended", str(end.facts["reason"])
        if query is None or allowance is None:
            return "starting", None
        newest, allowed_round = self.store.newest_cut(), int(allowance["round"])
        is_trained = newest is None or newest.round <= allowed_round
        if not is_trained or query.round != allowed_round:  # or its ordering is being read
            return "training", None
        if not query.has_open():
            return "exhausted", None
        return ("labeling", None) if query.left() > 0 else ("allowance_used", query.closed())

    def _add_example(self, sample_id: SampleId, label: Label) -> None:
        for number in classes_of(label):
            self._example.setdefault(number, sample_id)

    def _reason(self, sample_id: SampleId, label: Label | Skip) -> str | None:
        """Returns why an answer cannot be used; None if it can."""
        if sample_id not in self.samples:
            return f"sample {sample_id!r} is not in the data"
        if label is SKIP or self._fits(label):
            return None
        self.class_names()  # answers may have added classes
        if self._fits(label):
            return None
        count = len(self._class_names)
        expected = (
            f"a list of {count} entries 0 or 1"
            if self.page.multilabel
            else f"a class from 0 to {count - 1}"
        )
        return f"sample {sample_id!r}: label {json.dumps(label)}: expected {expected}"

    def _fits(self, label: Any) -> bool:
        count = len(self._class_names)
        if self.page.multilabel:
            return isinstance(label, list) and len(label) == count and set(label) <= {0, 1}
        return type(label) is int and 0 <= label < count


def guess_of(query: Query, rank: int | None) -> dict[str, Any] | None:
    """Returns what the model predicts for a rank; None if the ordering does not say."""
    labels, confidence = query.ordering.hallucinated_label, query.ordering.confidence
    if rank is None or labels is None:
        return None
    certain = None if confidence is None else float(confidence[rank])
    return {"label": int(labels[rank]), "confidence": certain}


def classes_of(label: Label) -> list[int]:
    """Returns the classes of a label: one, or all of a 0/1 list.

    Example:
        >>> classes_of(2), classes_of([0, 1, 1])
        ([2], [1, 2])
    """
    if isinstance(label, list):
        return [number for number, has in enumerate(label) if has == 1]
    return [label] if type(label) is int else []


def stamp(path: Path) -> Mapping[str, Any] | None:
    """Returns what changes when the trainer writes the files of a run anew; None without files."""
    directory = RunDirectory(path)
    page = identity_of(page_json_path(directory.path))
    try:
        # The store is written in place: only another file is another store.
        labels = directory.labels_path.stat().st_ino
    except OSError:
        return None
    return None if page is None else {"page": page, "labels": labels}
