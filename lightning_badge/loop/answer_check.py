"""Checks that the datamodule can train on an answer, before the answer is stored."""

import json

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import SKIP, Label, Skip
from lightning_badge.loop.labeled_set import LabeledSet
from lightning_badge.sample_ids import SampleId


class AnswerCheck:
    """Says why an answer cannot be used; each distinct label is tried once.

    Args:
        datamodule: Knows the sample ids, the classes and the type of the targets.
        labeled_set: Tries labels on a copy of the datamodule.
    """

    def __init__(self, datamodule: ActiveLearningDataModule, labeled_set: LabeledSet) -> None:
        parts = (datamodule.labeled_ids, datamodule.pool_ids, datamodule.discarded_ids)
        self._known = frozenset(key for part in parts for key in part.tolist())
        self._class_names = datamodule.class_names
        self._labeled_set = labeled_set
        self._reasons: dict[str, str | None] = {}

    def __call__(self, sample_id: SampleId, label: Label | Skip) -> str | None:
        """Returns the reason; None if the answer can be used."""
        if sample_id not in self._known:
            return f"sample {sample_id!r} is not in the training data"
        if label is SKIP:
            return None
        text = json.dumps(label)
        if text not in self._reasons:
            self._reasons[text] = self._reason(sample_id, label)
        reason = self._reasons[text]
        return reason and f"sample {sample_id!r}: {reason}"

    def _reason(self, sample_id: SampleId, label: Label | Skip) -> str | None:
        names = self._class_names
        if names is not None and type(label) is int and not 0 <= label < len(names):
            return f"label {label}: expected a class from 0 to {len(names) - 1}"
        try:
            self._labeled_set.try_label(sample_id, label)
        except LabelError as error:
            return str(error)
        return None
