"""The labeled set and the pool of a datamodule as a function of the answers."""

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.labels import SKIP
from lightning_badge.sample_ids import SampleId, as_sample_ids, is_in
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
        self._initial = _labels_of(datamodule)

    def apply(self, answers: Iterable[Answer]) -> None:
        """Sets the datamodule to the initial labels and answers; an answer overrides a label.

        Args:
            answers: Answers in force, at most one for each sample.
        """
        given = {answer.sample_id: answer.label for answer in answers}
        vars(self._datamodule).update(_copied(self._initial))
        every = self._datamodule._ids
        answered = is_in(every, as_sample_ids(given))
        self._datamodule._is_labeled[answered] = False
        labels = {key: label for key, label in given.items() if label is not SKIP}
        self._datamodule.label(labels)
        self._datamodule.discard([key for key, label in given.items() if label is SKIP])

    def try_label(self, sample_id: SampleId, label: Any) -> None:
        """Labels a sample of a copy of the datamodule.

        Raises:
            LabelError: The datamodule does not accept the label.
        """
        trial = copy.copy(self._datamodule)
        vars(trial).update(_copied(self._initial))
        trial._is_labeled = np.zeros_like(trial._is_labeled)
        trial.label({sample_id: label})


# The datamodule has no method that takes labels back.
def _labels_of(datamodule: ActiveLearningDataModule) -> dict[str, Any]:
    return _copied(
        {
            "_is_labeled": datamodule._is_labeled,
            "_is_discarded": datamodule._is_discarded,
            "_given": datamodule._given,
        }
    )


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    return {name: copy.copy(value) for name, value in state.items()}
