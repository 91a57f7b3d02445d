"""The labels that data hold back for simulated labelers, also of samples that arrive later."""

from collections.abc import Iterator, Mapping

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleId


class HeldBackLabels(Mapping[SampleId, Label]):
    """The label of every sample that the data have now, by sample id.

    Args:
        datamodule: The data.

    Raises:
        LabelError: The labels are not known.
    """

    def __init__(self, datamodule: ActiveLearningDataModule) -> None:
        self._data = datamodule
        self._labels = datamodule.held_back_labels()
        self._count = len(datamodule.sample_ids)

    def __getitem__(self, sample_id: SampleId) -> Label:
        return self._now()[sample_id]

    def __iter__(self) -> Iterator[SampleId]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[SampleId, Label]:
        if (count := len(self._data.sample_ids)) != self._count:
            self._labels, self._count = self._data.held_back_labels(), count
        return self._labels
