"""Harder pools made of easy ones: classes that are rare, samples that come several times.

Both take a ``source`` that builds the data, such as ``huggingface``, and its arguments.
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
    """Builds a pool that has lost most samples of some classes; validation stays as it is.

    Sample ids are the source's. The initial labels are drawn from what is left, so a rare class
    has its small share of them, and one at least where there are enough for each class.

    Args:
        source: Builds labeled set, pool and validation data.
        rare: Labels of the classes to make rare.
        share: Of their samples that stay, in (0, 1]; one of each class at least.
        initial_labeled: How many samples are labeled at first.
        batch_size: Samples in a training batch.
        num_workers: Worker processes of each loader.
        seed: Of the draw of the initial labels.
        choice_seed: Of the choice of what stays; apart from ``seed``, so that runs of different
            seeds have the same data.
        **arguments: What else ``source`` takes.

    Raises:
        LabelError: A class that the data do not have, or a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise LabelError(f"share: expected a share in (0, 1], got {share}")
    whole = source(initial_labeled=0, **arguments)
    labels = list(whole.held_back_labels().values())
    rng = np.random.default_rng(choice_seed)
    stays = np.ones(len(labels), dtype=np.bool_)
    for label in rare:
        rows = [row for row, other in enumerate(labels) if other == label]
        if not rows:
            raise LabelError(f"rare: expected classes such as {labels[0]!r}, got {label!r}")
        stays[rng.permutation(rows)[max(1, round(share * len(rows))) :]] = False
    rows_left = np.flatnonzero(stays)
    ids = whole.pool_ids[rows_left].tolist()
    return _selection(
        whole,
        rows_left,
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
    """Builds a pool in which every sample comes several times; validation stays as it is.

    Sample ids are the source's with the number of the copy behind: ``"17_0"`` to ``"17_4"``. The
    initial labels are those that the source draws, as first copies, so none of them is there twice.
    Their other copies stay in the pool: nobody told that they are copies, and to ask for one is to
    waste a label.

    Args:
        source: Builds labeled set, pool and validation data.
        copies: How often each sample comes.
        initial_labeled: How many samples are labeled at first.
        batch_size: Samples in a training batch.
        num_workers: Worker processes of each loader.
        seed: Of the draw of the initial labels.
        **arguments: What else ``source`` takes.

    Raises:
        LabelError: Fewer than one copy.
    """
    if copies < 1:
        raise LabelError(f"copies: expected one or more, got {copies}")
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
    """Builds data of some rows of others, which may come more than once."""
    labels = list(whole.held_back_labels().values())
    # A data set of everything that there is, in the order of the training data.
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
