"""Checks that the datamodule can train on an answer, before the answer is stored."""

import json

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, Label, Skip
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.sample_ids import SampleId
from lightning_badge.store.class_list import ClassList


class AnswerCheck:
    """Says why an answer cannot be used; each distinct label is tried once.

    Args:
        datamodule: Knows the sample ids, the classes and the type of the targets.
        labeled_set: Tries labels on a copy of the datamodule.
        classes: The classes of the run.
    """

    def __init__(
        self,
        datamodule: ActiveLearningDataModule,
        labeled_set: LabeledSet,
        classes: ClassList,
    ) -> None:
        self._datamodule = datamodule
        self._known: frozenset[SampleId] = frozenset()
        self._classes = classes
        self._count = 0
        self._labeled_set = labeled_set
        self._reasons: dict[str, str | None] = {}

    def __call__(self, sample_id: SampleId, label: Label | Skip) -> str | None:
        """Returns the reason; None if the answer can be used."""
        if sample_id not in self._known and not self._is_known(sample_id):
            return f"sample {sample_id!r} is not in the training data"
        if label is SKIP:
            return None
        if type(label) is int and not self._is_class(label):
            return (
                f"sample {sample_id!r}: label {label}: expected a class from 0 to {self._count - 1}"
            )
        text = json.dumps(label)
        if text not in self._reasons:
            self._reasons[text] = self._reason(sample_id, label)
        reason = self._reasons[text]
        return reason and f"sample {sample_id!r}: {reason}"

    def _is_known(self, sample_id: SampleId) -> bool:
        if len(self._known) != len(self._datamodule.sample_ids):  # samples may arrive
            self._known = frozenset(self._datamodule.sample_ids.tolist())
        return sample_id in self._known

    def _is_class(self, label: int) -> bool:
        if not 0 <= label < self._count:  # answers may have added classes
            names = self._classes.names()
            if names is None:
                return True
            self._count = len(names)
        return 0 <= label < self._count

    def _reason(self, sample_id: SampleId, label: Label | Skip) -> str | None:
        try:
            self._labeled_set.try_label(sample_id, label, self._classes.names())
        except LabelError as error:
            return str(error)
        return None
