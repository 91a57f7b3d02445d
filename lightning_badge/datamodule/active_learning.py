"""The labeled set that a model trains on, and the pool of all other samples."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, RandomSampler, default_collate

from lightning_badge.datamodule.arguments import (
    check_length,
    checked_loading,
    ids_and_labels,
    known_labels,
)
from lightning_badge.datamodule.dataset_view import (
    CollatePoolBatch,
    DatasetView,
    JoinLoneSample,
    MapStyle,
    WithSampleIds,
    sample_count,
    target_of,
)
from lightning_badge.datamodule.initial_draw import draw_initial
from lightning_badge.datamodule.joined import joined, joined_ids, joined_labels
from lightning_badge.datamodule.sample_sets import LabeledState, SampleSets
from lightning_badge.datamodule.target_checks import TargetChecks
from lightning_badge.embedding import GradientEmbedding
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label, as_class_names, as_label
from lightning_badge.namespaces import inherited, join_namespaces
from lightning_badge.pool_batch import PoolBatch
from lightning_badge.sample_ids import SampleId, SampleIds, as_sample_ids, fingerprint, is_in


class ActiveLearningDataModule(LightningDataModule):
    """Trains on the labeled part of a data set and offers the rest as the pool.

    ``train_dataloader`` yields exactly what the data set yields, so a model needs no change;
    ``pool_dataloader`` and ``labeled_dataloader`` yield `PoolBatch`, unshuffled. The training
    loader shuffles from torch's global random state, which ``seed_everything`` sets; pool and
    labeled loaders draw nothing from it. A last training batch of one sample, which batch
    normalization refuses, is joined to the batch before it.

    Labels live here and never in checkpoints: ``trainer.validate(ckpt_path=...)`` would roll them
    back. To keep them, save `labels_dict` and pass it as ``initial_labeled``. A running ``fit``
    sees new labels only under ``Trainer(reload_dataloaders_every_n_epochs=1)``.

    Args:
        train: Labeled set and pool together.
        val: Validation data; None trains without validation, and the pool is then ordered with the
            final weights of ``fit``.
        test: Test data.
        initial_labeled: The initial labeled set: ids, a mapping of ids to labels, or a count. A
            count is drawn stratified by class if ``labels`` or ``train.targets`` contain one class
            per sample (with every class if the count allows), otherwise uniformly.
        labels: Targets of all of ``train``, known beforehand as in a simulation.
        validation_ids: Samples of ``train`` for validation, in place of ``val``: never in labeled
            set or pool, and validation data once they are labeled.
        sample_ids: Stable ids of ``train``, in its order; None for 0..n-1.
        evaluation_view: The samples of ``train`` in the same order without random augmentation, for
            pool and labeled batches; None for ``train`` itself.
        class_names: Names of the classes, for pictures and tables; labels are checked by their
            number. Blanks at their ends are left out.
        target_key: Entry of an item that a given label replaces: a place in a tuple or list, or a
            key of a dict. A label that is unknown is -1, NaN, None or an empty text there.
        collate_fn: Makes a batch of a list of items; None for torch's default.
        batch_size: Samples in a training batch.
        eval_batch_size: Samples in every other batch; None for ``batch_size``.
        num_workers: Worker processes of each loader.
        pin_memory: Whether the loaders pin memory for a faster copy to a GPU.
        seed: Seed of the draw of the initial labels.

    Raises:
        LabelError: Data, ids or labels do not fit together, or there is no ``target_key``.
        MisconfigurationException: A batch size or number of workers is not valid.

    Example:
        >>> data = [([float(i)], i % 2) for i in range(10)]
        >>> datamodule = ActiveLearningDataModule(data, initial_labeled=[0, 1])
        >>> datamodule.label([7, 4])
        >>> datamodule.labeled_ids.tolist(), len(datamodule.pool_ids)
        ([0, 1, 4, 7], 6)
    """

    cold_start: Callable[[], GradientEmbedding]  # only of data that can be ordered without a model

    def __init__(
        self,
        train: MapStyle,
        val: MapStyle | None = None,
        test: MapStyle | None = None,
        *,
        initial_labeled: int | Iterable[SampleId] | Mapping[SampleId, Any],
        labels: Iterable[Any] | None = None,
        validation_ids: Iterable[SampleId] = (),
        sample_ids: Iterable[SampleId] | None = None,
        evaluation_view: MapStyle | None = None,
        class_names: Sequence[str] | None = None,
        target_key: int | str = 1,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        batch_size: int = 32,
        eval_batch_size: int | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        seed: int = 0,
    ) -> None:
        join_namespaces(ActiveLearningDataModule, "LightningDataModule")
        super().__init__()
        batches, self._loader_args = checked_loading(
            *(batch_size, eval_batch_size, num_workers, pin_memory, seed, target_key, collate_fn)
        )
        n = sample_count(train, "train")
        for name, data in (("val", val), ("test", test), ("evaluation_view", evaluation_view)):
            if data is not None:
                sample_count(data, name)
        self._train, self._val, self._test = train, val, test
        self._evaluation_view = train if evaluation_view is None else evaluation_view
        check_length("evaluation_view", self._evaluation_view, n)
        self.class_names = None if class_names is None else as_class_names(class_names)
        self.batch_size: int = batches["batch_size"]
        self.eval_batch_size: int | None = batches["eval_batch_size"]
        self.target_key: int | str = batches["target_key"]
        self._collate_fn = collate_fn or default_collate
        ids = as_sample_ids(range(n) if sample_ids is None else sample_ids)
        check_length("sample_ids", ids, n)
        self._known = known_labels(train, labels)
        self.validation_ids = as_sample_ids(validation_ids)
        if len(self.validation_ids) and val is not None:
            raise LabelError(
                "validation_ids: expected none beside val=, which has the validation data"
            )
        self._sets = SampleSets(ids, self.validation_ids)
        if isinstance(initial_labeled, Mapping) and initial_labeled:
            self.label(initial_labeled)
            return
        if isinstance(initial_labeled, int | np.integer):
            drawn = draw_initial(self._known, n, int(initial_labeled), batches["seed"]).tolist()
        else:
            drawn = self._sets.outside_labeled(initial_labeled)
        self._checks.first(drawn)
        self._sets.label(drawn)

    @property
    def has_validation(self) -> bool:
        """Whether there are validation data now."""
        return self._val is not None or bool(self._sets.is_labeled_validation.any())

    @property
    def plans_validation(self) -> bool:
        """Whether there are validation data, or will be once validation samples are labeled."""
        return self._val is not None or len(self.validation_ids) > 0

    @property
    def source(self) -> str:
        """Identifies the data, so that a run is not continued with others."""
        return fingerprint(self.sample_ids)

    def data_sets(self) -> dict[str, MapStyle]:
        """Returns the data sets by ``train``, ``val`` and ``test``, without augmentation."""
        parts = {"train": self._evaluation_view, "val": self._val, "test": self._test}
        return {name: data for name, data in parts.items() if data is not None}

    def replace_data(
        self,
        parts: Mapping[str, MapStyle],
        collate_fn: Callable[[list[Any]], Any] = default_collate,
    ) -> None:
        """Replaces the data sets by others with the same samples, as pairs (input, target).

        Args:
            parts: Those of `data_sets`, by the same names and as long.
            collate_fn: Makes a batch of a list of pairs.
        """
        for name, data in self.data_sets().items():
            check_length(name, parts[name], len(data), "samples")
        self._train = self._evaluation_view = parts["train"]
        self._val, self._test = parts.get("val"), parts.get("test")
        self.target_key, self._collate_fn = 1, collate_fn

    @property
    def sample_ids(self) -> SampleIds:
        """Ids of all training data, those for validation included, in their order."""
        return self._sets.ids

    @property
    def labeled_ids(self) -> SampleIds:
        """Ids of the labeled set, in the order of the training data."""
        return self.sample_ids[self._sets.is_training]

    @property
    def discarded_ids(self) -> SampleIds:
        """Ids that were discarded, in the order of the training data."""
        return self.sample_ids[self._sets.is_discarded]

    @property
    def pool_ids(self) -> SampleIds:
        """Ids that are not labeled, discarded or for validation, in the order of the data."""
        return self.sample_ids[self._sets.is_in_pool]

    def add(
        self,
        data: MapStyle,
        *,
        sample_ids: Iterable[SampleId] | None = None,
        labels: Iterable[Any] | None = None,
        evaluation_view: MapStyle | None = None,
    ) -> None:
        """Adds samples to the pool between two trainings, behind the others: all or none.

        Args:
            data: The samples, as ``train`` has them.
            sample_ids: Their ids; None continues 0, 1, 2, ...
            labels: Their targets, in a simulation in which those of the others are known.
            evaluation_view: As in the constructor.

        Raises:
            LabelError: Ids that are there already, or labels that do not fit.
        """
        n, view = sample_count(data, "add"), data if evaluation_view is None else evaluation_view
        check_length("evaluation_view", view, n, "added samples")
        ids = joined_ids(self.sample_ids, sample_ids, n)
        known = joined_labels(self._known, data, labels)
        self._grow(joined(self._train, data), joined(self._evaluation_view, view), ids, known)

    def _grow(
        self, train: MapStyle, view: MapStyle, ids: SampleIds, known: list[Label] | None
    ) -> None:
        self._train, self._evaluation_view, self._known = train, view, known
        self._sets = self._sets.grown(ids)

    def label(
        self,
        ids: Iterable[SampleId] | Mapping[SampleId, Any],
        labels: Iterable[Any] | None = None,
    ) -> None:
        """Moves samples into the labeled set: all of them, or none after an error.

        A discarded sample may be labeled later.

        Args:
            ids: Any ids outside the labeled set, in any order, or a mapping of ids to labels.
            labels: One label for each id, in place of the data set's own target; None keeps that
                unless it is a placeholder such as -1.

        Raises:
            LabelError: Unknown, repeated or already labeled ids; labels of no class, or missing.
        """
        ids, labels = ids_and_labels(ids, labels)
        positions = self._sets.outside_labeled(ids)
        self._sets.label(positions, self._checks.usable(labels, positions))

    @property
    def _checks(self) -> TargetChecks:
        view, ids = self._evaluation_view, self.sample_ids
        return TargetChecks(view, ids, self.target_key, self._known, self.class_names)

    def discard(self, ids: Iterable[SampleId]) -> None:
        """Removes samples that cannot be labeled from the pool, all of them or none.

        Raises:
            LabelError: Unknown, repeated or labeled ids.
        """
        self._sets.is_discarded[self._sets.outside_labeled(ids)] = True

    def unlabel(self, ids: Iterable[SampleId]) -> None:
        """Moves samples back into the pool, labeled or discarded ones; others stay there.

        Raises:
            LabelError: Unknown or repeated ids.
        """
        self._sets.unlabel(ids)

    def labeled_state(self) -> LabeledState:
        """Returns a copy of which samples are labeled and discarded, for `restore`."""
        return self._sets.state()

    def restore(self, state: LabeledState) -> None:
        """Makes the labeled set and the pool what they were when ``state`` was taken.

        Samples that were added since then are in the pool.
        """
        self._sets = self._sets.restored(state)

    def labels_dict(self) -> dict[SampleId, Label]:
        """Returns the label that training uses, for every labeled id.

        A label that was not given is read from the data set, which loads that sample.
        """
        positions = np.flatnonzero(self._sets.is_training).tolist()
        items = self._view(self._evaluation_view, self._sets.is_training)
        given = self._sets.given
        labels = (
            given[position]
            if position in given
            else as_label(target_of(items[row], self.target_key))
            for row, position in enumerate(positions)
        )
        return dict(zip(self.labeled_ids.tolist(), labels, strict=True))

    def held_back_labels(self) -> dict[SampleId, Label]:
        """Returns the known target of every training sample, for simulated labelers.

        Raises:
            LabelError: Neither ``labels`` nor ``train.targets`` contains the targets.
        """
        if self._known is None:
            raise LabelError(
                "held_back_labels: the targets are not known; pass labels=, one for each sample"
            )
        return dict(zip(self.sample_ids.tolist(), self._known, strict=True))

    def train_dataloader(self) -> DataLoader[Any]:
        """Returns the labeled set, shuffled, as the data set yields it.

        Raises:
            LabelError: Nothing is labeled.
        """
        if not self._sets.is_training.any():
            raise LabelError("no sample is labeled; pass initial_labeled= or call label(ids)")
        view = self._view(self._train, self._sets.is_training)
        view = replace(view, labeled_ids=self.labeled_ids)
        batches = JoinLoneSample(RandomSampler(view), self.batch_size, drop_last=False)
        return DataLoader(
            view, batch_sampler=batches, collate_fn=self._collate_fn, **self._loader_args
        )

    @property
    def val_dataloader(self) -> Callable[[], Any]:
        """Returns the validation data in their order."""
        # Lightning validates if this method is overridden, so without data it must not be.
        if self.has_validation:
            return self._val_dataloader
        return inherited(self, "LightningDataModule", "val_dataloader", self.trainer)

    def _val_dataloader(self) -> DataLoader[Any]:
        if self._val is not None:
            return self._eval_loader(self._val)
        labeled = self._sets.is_labeled_validation
        return self._eval_loader(self._view(self._evaluation_view, labeled))

    def test_dataloader(self) -> DataLoader[Any]:
        """Returns the test data in their order.

        Raises:
            MisconfigurationException: There are none.
        """
        if self._test is None:
            raise MisconfigurationException("no test data; pass test= to the datamodule")
        return self._eval_loader(self._test)

    def pool_dataloader(self) -> DataLoader[PoolBatch]:
        """Returns the pool as `PoolBatch`, in the order of `pool_ids`."""
        return self._with_ids(self._sets.is_in_pool)

    def labeled_dataloader(self) -> DataLoader[PoolBatch]:
        """Returns the labeled set as `PoolBatch`, in the order of `labeled_ids`."""
        return self._with_ids(self._sets.is_training)

    def loader_of(self, ids: Iterable[SampleId]) -> DataLoader[PoolBatch]:
        """Returns samples as `PoolBatch`, in the order of the data."""
        return self._with_ids(is_in(self.sample_ids, as_sample_ids(ids)))

    def evaluation_items(self) -> WithSampleIds:
        """Returns all samples with their ids, in their order, as pool and labeled batches do."""
        return self._items_with_ids(np.ones_like(self._sets.is_labeled))

    def _with_ids(self, is_chosen: npt.NDArray[np.bool_]) -> DataLoader[PoolBatch]:
        # Its own generator: an iterator draws a seed for its workers, and drawn from the global
        # state that would change the shuffles of the training that goes on afterwards.
        return self._eval_loader(
            self._items_with_ids(is_chosen),
            collate_fn=CollatePoolBatch(self._collate_fn),
            generator=torch.Generator(),
        )

    def _items_with_ids(self, is_chosen: npt.NDArray[np.bool_]) -> WithSampleIds:
        return WithSampleIds(
            self._view(self._evaluation_view, is_chosen), self.sample_ids[is_chosen]
        )

    def _view(self, data: MapStyle, is_chosen: npt.NDArray[np.bool_]) -> DatasetView:
        return DatasetView(data, np.flatnonzero(is_chosen), dict(self._sets.given), self.target_key)

    def _eval_loader(self, data: Any, **arguments: Any) -> DataLoader[Any]:
        batch_size = self.batch_size if self.eval_batch_size is None else self.eval_batch_size
        defaults = {"collate_fn": self._collate_fn, **self._loader_args}
        return DataLoader(data, batch_size=batch_size, **{**defaults, **arguments})


join_namespaces(ActiveLearningDataModule, "LightningDataModule")
