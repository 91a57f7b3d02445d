"""The 1,797 handwritten 8 x 8 digits that scikit-learn includes: real data, no download."""

from collections.abc import Iterable

import torch

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.examples.extra import examples_extra
from lightning_badge.examples.held_out import divided, draw_held_out
from lightning_badge.sample_ids import SampleId

_BRIGHTEST = 16.0


def digits(
    *,
    initial_labeled: int | Iterable[SampleId] = 20,
    val_size: int = 360,
    batch_size: int = 32,
    eval_batch_size: int = 512,
    num_workers: int = 0,
    seed: int = 0,
    split_seed: int = 0,
) -> ActiveLearningDataModule:
    """Builds labeled set, pool and validation data from scikit-learn's digits.

    Images are float32 ``[1, 8, 8]`` in 0..1. Sample ids are row numbers of scikit-learn's table.

    Args:
        initial_labeled: Number of initial labels, drawn stratified, or their sample ids.
        val_size: Number of validation images, drawn stratified; all others are labeled set or pool.
        batch_size: Images in a training batch.
        eval_batch_size: Images in a validation or pool batch.
        num_workers: Worker processes of each loader.
        seed: Seeds the draw of the initial labels.
        split_seed: Seeds the validation split; separate from ``seed``, so that runs with different
            seeds are validated on the same images.

    Raises:
        BadgeError: A ``val_size`` that leaves nothing on one of the sides, or scikit-learn is not
            installed.
    """
    with examples_extra():
        from sklearn.datasets import load_digits

    table = load_digits()
    return divided(
        torch.from_numpy(table.images).float().unsqueeze(1) / _BRIGHTEST,
        table.target,
        draw_held_out(table.target, val_size, split_seed),
        table.target_names,
        initial_labeled=initial_labeled,
        batch_size=batch_size,
        eval_batch_size=eval_batch_size,
        num_workers=num_workers,
        seed=seed,
    )
