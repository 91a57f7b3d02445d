"""A table of inputs and classes in memory, divided into training and validation data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.initial_draw import stratified_draw
from lightning_badge.exceptions import BadgeError


def draw_held_out(
    classes: npt.NDArray[np.int64], val_size: int, split_seed: int
) -> npt.NDArray[np.bool_]:
    """Returns which rows are validation data, ``[n]``: ``val_size`` of them, stratified.

    Raises:
        BadgeError: A size that leaves nothing on one of the sides.
    """
    if not 0 < val_size < len(classes):
        raise BadgeError(
            f"val_size: expected 1 to {len(classes) - 1} of {len(classes)} rows, got {val_size}"
        )
    is_val = np.zeros(len(classes), dtype=np.bool_)
    is_val[stratified_draw(classes, val_size, np.random.default_rng(split_seed))] = True
    return is_val


def divided(
    inputs: Tensor,
    classes: npt.NDArray[np.int64],
    is_val: npt.NDArray[np.bool_],
    class_names: Sequence[Any],
    **arguments: Any,
) -> ActiveLearningDataModule:
    """Builds a datamodule of which the rows marked are validation data and all others pool.

    Args:
        inputs: ``[n, ...]``; sample ids are its rows.
        classes: ``[n]``.
        is_val: ``[n]``.
        class_names: Names of the classes.
        **arguments: Of `ActiveLearningDataModule`.
    """
    targets = torch.from_numpy(classes).long()
    return ActiveLearningDataModule(
        TensorDataset(inputs[~is_val], targets[~is_val]),
        TensorDataset(inputs[is_val], targets[is_val]),
        labels=targets[~is_val],
        sample_ids=np.flatnonzero(~is_val),
        class_names=[str(name) for name in class_names],
        **arguments,
    )
