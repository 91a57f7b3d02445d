"""Data of which a part arrives while the run goes on, for simulations."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch.utils.data import Subset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleId, as_sample_ids, positions_of


@dataclass(frozen=True, eq=False)
class Portion:
    """Samples that arrive together."""

    sample_ids: list[SampleId]


class Portions:
    """Portions that arrive one after the other, as labels come.

    What arrives depends on the labels alone, so that a run that is killed goes on as it would have.

    Args:
        datamodule: Says how many labels there are.
        portions: The portions.
        every: Number of labels that a model is trained on for each portion to arrive.
    """

    every_s = 0.0
    is_waiting = False

    def __init__(
        self, datamodule: ActiveLearningDataModule, portions: list[list[SampleId]], every: int
    ) -> None:
        self._data, self._portions, self._every = datamodule, portions, every
        self._begun_with = len(datamodule.labeled_ids)
        self._known: set[SampleId] = set()

    def poll(self) -> Portion | None:
        """Returns what has arrived by now and is new."""
        due = (len(self._data.labeled_ids) - self._begun_with) // self._every
        new = [key for part in self._portions[:due] for key in part if key not in self._known]
        return self.read(new)

    def read(self, sample_ids: Collection[SampleId]) -> Portion | None:
        """Returns samples that arrived."""
        self._known.update(sample_ids)
        return Portion(list(sample_ids)) if sample_ids else None


class ArrivingDataModule(ActiveLearningDataModule):
    """A part of the training data of another data module; the rest arrives later.

    Args:
        of: Data whose labels are known. All initial labels are in the part that is there.
        share: The share of the pool that arrives later, in (0, 1).
        portions: In how many portions.
        every: Number of labels after which each of them arrives.
        seed: Seed of the draw of what arrives later.

    Attributes:
        watch: Finds what arrives.
    """

    def __init__(
        self, of: ActiveLearningDataModule, *, share: float, portions: int, every: int, seed: int
    ) -> None:
        if not 0 < share < 1 or portions < 1 or every < 1:
            raise LabelError(
                "data.share, portions and every: expected a share in (0, 1) and positive integers, "
                f"got {share}, {portions} and {every}"
            )
        parts, self._all_labels = of.data_sets(), of.held_back_labels()
        self._all, self._all_ids = parts["train"], of.sample_ids
        draws = np.random.default_rng(seed).permutation(of.pool_ids)
        later = set(draws[: max(portions, round(share * len(draws)))].tolist())
        now = [key for key in of.sample_ids.tolist() if key not in later]
        super().__init__(
            self._subset(now),
            parts.get("val"),
            parts.get("test"),
            initial_labeled=of.labeled_ids.tolist(),
            labels=[self._all_labels[key] for key in now],
            sample_ids=now,
            class_names=of.class_names,
            batch_size=of.batch_size,
            eval_batch_size=of.eval_batch_size,
        )
        in_order = [key for key in draws.tolist() if key in later]
        split = [part.tolist() for part in np.array_split(np.array(in_order), portions)]
        self.watch = Portions(self, split, every)

    def arrive(self, found: Portion) -> dict[SampleId, Label]:
        """Adds samples that arrived; a simulated labeler knows their labels."""
        ids = found.sample_ids
        labels = [self._all_labels[key] for key in ids]
        self.add(self._subset(ids), sample_ids=ids, labels=labels)
        return {}

    def held_back_labels(self) -> dict[SampleId, Label]:
        """Returns the label of every sample, of those too that arrive later."""
        return dict(self._all_labels)

    def _subset(self, ids: list[SampleId]) -> Subset[Any]:
        positions = positions_of(as_sample_ids(ids), self._all_ids)
        return Subset(self._all, positions.tolist())  # type: ignore[arg-type]


def arriving(
    of: ActiveLearningDataModule,
    *,
    share: float = 0.5,
    portions: int = 3,
    every: int = 50,
    seed: int = 0,
) -> ArrivingDataModule:
    """Returns data of which a part arrives later; the arguments are those of the class."""
    return ArrivingDataModule(of, share=share, portions=portions, every=every, seed=seed)
