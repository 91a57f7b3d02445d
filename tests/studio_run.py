"""A run without training, whose people label in Label Studio."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import torch
from studio_server import Studio

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.labelers.label_studio.labelers import LabelStudioLabelers
from lightning_badge.ordering import Ordering
from lightning_badge.store.answer import NewAnswer
from lightning_badge.store.class_list import ClassList
from lightning_badge.store.label_store import LabelStore
from lightning_badge.store.next_sample import Query

CLASSES = ("cat", "dog")
COUNT = 20


def make_data(**arguments: Any) -> ActiveLearningDataModule:
    data = [(torch.full((1, 4, 4), n / COUNT), n % 2) for n in range(COUNT)]
    given = {"initial_labeled": [], "class_names": CLASSES, **arguments}
    return ActiveLearningDataModule(data, labels=[n % 2 for n in range(COUNT)], **given)


class Run:
    """A label store, a server and labelers; rounds are published by hand."""

    def __init__(self, path: Path, studio: Studio | None, url: str) -> None:
        self.path, self.studio, self.url = path, studio, url
        self.store = LabelStore(path / "labels.db")
        self.classes = ClassList(self.store, CLASSES)
        self.labelers: list[LabelStudioLabelers] = []

    def start(self, data: ActiveLearningDataModule | None = None, **options: Any) -> Any:
        """Builds labelers as a new process does."""
        given = {"url": self.url, "poll": 0.01, **options}
        labelers = LabelStudioLabelers(data or make_data(), self.path, **given)
        self.labelers.append(labelers)
        return labelers

    def query(
        self, round: int = 0, *, order: Any = range(COUNT), allowed: int | None = None, **more: Any
    ) -> Query:
        cut = (self.store.cuts(round) or [self.store.cut(round)])[-1]
        ordering = Ordering(np.array(order), gains=np.linspace(2, 1, len(order)))
        query = Query(self.store, cut, ordering, classes=self.classes, **more)
        query.allow(allowed)
        return query

    def look(self, labelers: Any) -> list[NewAnswer]:
        """Commits what people answered, and lets the labelers hand samples out."""
        found: list[NewAnswer] = []
        for batch in itertools.islice(labelers.collect(), 2):  # the second look comes after it
            self.store.add(batch)
            found += batch
        return found

    @property
    def project(self) -> int:
        (number,) = self.studio.projects
        return number

    def stream(self, user: int = 1) -> list[int]:
        """Returns the samples that a person gets, in order."""
        return [task["data"]["sample_id"] for task in self.studio.stream(self.project, user)]

    def task_of(self, sample_id: int) -> int:
        """Returns the newest task for a sample."""
        tasks = self.studio.tasks_of(self.project)
        return max(task["id"] for task in tasks if task["data"]["sample_id"] == sample_id)

    def answer(self, sample_id: int, choices: list[str] | None, user: int = 1) -> int:
        return self.studio.submit(self.task_of(sample_id), choices, user)
