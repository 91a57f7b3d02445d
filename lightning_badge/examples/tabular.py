"""The tables with classes that scikit-learn carries: real data, no download."""

from collections.abc import Iterable

import torch

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.examples.extra import examples_extra
from lightning_badge.examples.held_out import divided, draw_held_out
from lightning_badge.exceptions import BadgeError
from lightning_badge.sample_ids import SampleId

TABLES = ("breast_cancer", "iris", "wine")


def tabular(
    name: str = "breast_cancer",
    *,
    initial_labeled: int | Iterable[SampleId] = 4,
    val_size: int = 140,
    batch_size: int = 32,
    eval_batch_size: int = 512,
    num_workers: int = 0,
    seed: int = 0,
    split_seed: int = 0,
) -> ActiveLearningDataModule:
    """Builds labeled set, pool and validation data from one of scikit-learn's tables.

    ``breast_cancer`` has 569 rows of 30 columns and 2 classes, ``wine`` 178 of 13 and 3, ``iris``
    150 of 4 and 3. Samples are float32 ``[columns]``, standardized by the mean and the deviation
    of the training rows, which takes no label. Sample ids are the rows of scikit-learn's own table.

    Args:
        name: Which table.
        initial_labeled: A count, drawn stratified, or ids.
        val_size: Rows held out for validation, stratified; the others are pool.
        batch_size: Rows in a training batch.
        eval_batch_size: Rows in every other batch.
        num_workers: Worker processes of each loader.
        seed: Of the draw of the initial labels.
        split_seed: Of the validation split; apart from ``seed``, so that runs of different seeds
            are measured on the same rows.

    Raises:
        BadgeError: No such table, or one too small for ``val_size``.
    """
    with examples_extra():
        from sklearn import datasets

    if name not in TABLES:
        raise BadgeError(f"data.name: expected one of {', '.join(TABLES)}, got {name!r}")
    table = getattr(datasets, f"load_{name}")()
    is_val = draw_held_out(table.target, val_size, split_seed)
    seen = table.data[~is_val]
    return divided(
        torch.from_numpy((table.data - seen.mean(axis=0)) / seen.std(axis=0)).float(),
        table.target,
        is_val,
        table.target_names,
        initial_labeled=initial_labeled,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        num_workers=num_workers,
        seed=seed,
    )
