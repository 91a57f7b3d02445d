"""The tabular classification data sets that scikit-learn includes: real data, no download."""

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

    ``breast_cancer`` has 569 rows, 30 columns and 2 classes; ``wine`` 178, 13 and 3; ``iris`` 150,
    4 and 3. Samples are float32 ``[columns]``, standardized with the mean and standard deviation of
    the training rows, which needs no labels. Sample ids are row numbers of scikit-learn's table.

    Args:
        name: Name of the table: ``breast_cancer``, ``iris`` or ``wine``.
        initial_labeled: Number of initial labels, drawn stratified, or their sample ids.
        val_size: Number of validation rows, drawn stratified; all others are labeled set or pool.
        batch_size: Rows in a training batch.
        eval_batch_size: Rows in a validation or pool batch.
        num_workers: Worker processes of each loader.
        seed: Seeds the draw of the initial labels.
        split_seed: Seeds the validation split; separate from ``seed``, so that runs with different
            seeds are validated on the same rows.

    Raises:
        BadgeError: The name is unknown, or the table is too small for ``val_size``.
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
