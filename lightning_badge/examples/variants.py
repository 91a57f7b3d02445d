"""Harder pools made from easy ones: with rare classes or with duplicated samples.

Both functions take a ``source`` that builds the data, such as ``huggingface``, and its arguments.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from torch.utils.data import Subset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleId

Source = Callable[..., ActiveLearningDataModule]


def with_rare_classes(
    source: Source,
    *,
    rare: Iterable[Label],
    share: float,
    initial_labeled: int = 20,
    batch_size: int = 32,
    num_workers: int = 0,
    seed: int = 0,
    choice_seed: int = 0,
    **arguments: Any,
) -> ActiveLearningDataModule:
    """Removes most training samples of some classes; validation data do not change.

    Sample ids are those of the source. The initial labels are drawn stratified from the remaining
    samples, so a rare class gets its small share of them, but at least one if there are enough
    initial labels for all classes.

    Args:
        source: Builds labeled set, pool and validation data.
        rare: Labels of the classes to make rare.
        share: Share of their samples to keep, in (0, 1]; at least one sample per class is kept.
        initial_labeled: Number of initial labels.
        batch_size: Samples in a training batch.
        num_workers: Worker processes of each loader.
        seed: Seeds the draw of the initial labels.
        choice_seed: Seeds the choice of the samples to keep; separate from ``seed``, so that runs
            with different seeds use the same data.
        **arguments: Further arguments of ``source``.

    Raises:
        LabelError: A class does not exist in the data, or ``share`` is outside (0, 1].
    """
    if not 0 < share <= 1:
        raise LabelError(f"share: expected a number in (0, 1], got {share}")
    whole = source(initial_labeled=0, **arguments)
    labels = list(whole.held_back_labels().values())
    rng = np.random.default_rng(choice_seed)
    is_kept = np.ones(len(labels), dtype=np.bool_)
    for label in rare:
        rows = [row for row, other in enumerate(labels) if other == label]
        if not rows:
            raise LabelError(f"rare: expected classes such as {labels[0]!r}, got {label!r}")
        is_kept[rng.permutation(rows)[max(1, round(share * len(rows))) :]] = False
    kept_rows = np.flatnonzero(is_kept)
    ids = whole.pool_ids[kept_rows].tolist()
    return _selection(
        whole,
        kept_rows,
        ids,
        initial_labeled=initial_labeled,
        batch_size=batch_size,
        num_workers=num_workers,
        seed=seed,
    )


def duplicated(
    source: Source,
    *,
    copies: int,
    initial_labeled: int = 20,
    batch_size: int = 32,
    num_workers: int = 0,
    seed: int = 0,
    **arguments: Any,
) -> ActiveLearningDataModule:
    """Repeats every training sample several times; validation data do not change.

    Sample ids are those of the source with the number of the copy appended: ``"17_0"`` to
    ``"17_4"``. The initial labels are the first copies of the samples that the source draws, so no
    sample is labeled twice at the start. Their other copies stay in the pool, because the run does
    not know that they are copies; asking for one wastes a label.

    Args:
        source: Builds labeled set, pool and validation data.
        copies: Number of copies of each sample.
        initial_labeled: Number of initial labels.
        batch_size: Samples in a training batch.
        num_workers: Worker processes of each loader.
        seed: Seeds the draw of the initial labels.
        **arguments: Further arguments of ``source``.

    Raises:
        LabelError: ``copies`` is less than 1.
    """
    if copies < 1:
        raise LabelError(f"copies: expected at least 1, got {copies}")
    whole = source(initial_labeled=initial_labeled, seed=seed, **arguments)
    initial = [f"{sample_id}_0" for sample_id in whole.labeled_ids.tolist()]
    sources = list(whole.held_back_labels())
    return _selection(
        whole,
        np.tile(np.arange(len(sources)), copies),
        [f"{sample_id}_{copy}" for copy in range(copies) for sample_id in sources],
        initial_labeled=initial,
        batch_size=batch_size,
        num_workers=num_workers,
    )


def _selection(
    whole: ActiveLearningDataModule,
    rows: npt.NDArray[np.int64],
    sample_ids: list[SampleId],
    **arguments: Any,
) -> ActiveLearningDataModule:
    """Builds a datamodule from some rows of another one; rows may be repeated."""
    labels = list(whole.held_back_labels().values())
    # With all samples labeled, the training data set has all rows in their original order.
    whole.label(whole.pool_ids)
    train, val = whole.train_dataloader().dataset, whole.val_dataloader().dataset
    return ActiveLearningDataModule(
        Subset(train, rows.tolist()),
        val,
        labels=[labels[row] for row in rows.tolist()],
        sample_ids=sample_ids,
        class_names=whole.class_names,
        eval_batch_size=whole.eval_batch_size,
        **arguments,
    )
