"""The labeled set and the pool of a datamodule as a function of the answers."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.labels import SKIP, Label
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.answer import Answer


class LabeledSet:
    """Sets a datamodule to its initial labels and the given answers, whatever it held before.

    A corrected label, a skip of a labeled sample and an undone answer therefore take effect in a
    running process exactly as after a restart.

    Args:
        datamodule: Holds the initial labels now.
    """

    def __init__(self, datamodule: ActiveLearningDataModule) -> None:
        self._datamodule = datamodule
        self._initial = datamodule.labeled_state()

    def apply(self, answers: Iterable[Answer]) -> None:
        """Sets the datamodule to the initial labels and answers; an answer overrides a label.

        Args:
            answers: Answers in force, at most one for each sample.
        """
        given = {answer.sample_id: answer.label for answer in answers}
        self._datamodule.restore(self._initial)
        self._datamodule.unlabel(given)
        self._datamodule.label({key: label for key, label in given.items() if label is not SKIP})
        self._datamodule.discard([key for key, label in given.items() if label is SKIP])

    def know(self, labels: Mapping[SampleId, Label]) -> None:
        """Adds labels of samples that arrived to those that the data hold."""
        if not labels:
            return
        with self.initial():
            self._datamodule.label(labels)
            self._initial = self._datamodule.labeled_state()

    @contextmanager
    def initial(self) -> Iterator[None]:
        """Gives the data the labels that they began with, and then those of now again."""
        now = self._datamodule.labeled_state()
        self._datamodule.restore(self._initial)
        try:
            yield
        finally:
            self._datamodule.restore(now)

    def try_label(
        self, sample_id: SampleId, label: Any, class_names: Sequence[str] | None = None
    ) -> None:
        """Labels a sample of a copy of the datamodule.

        Args:
            sample_id: The sample.
            label: Its label.
            class_names: The classes, of which answers may have added some; None for no names.

        Raises:
            LabelError: The datamodule does not accept the label.
        """
        trial = copy.copy(self._datamodule)
        trial.class_names = None if class_names is None else tuple(class_names)
        trial.restore(self._initial)
        trial.unlabel([sample_id])
        trial.label({sample_id: label})
