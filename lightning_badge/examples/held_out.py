"""Divides a table of inputs and classes in memory into training and validation data."""

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
    """Draws ``val_size`` validation rows, stratified; returns a mask ``[n]``.

    Raises:
        BadgeError: ``val_size`` leaves no training or no validation rows.
    """
    if not 0 < val_size < len(classes):
        raise BadgeError(
            f"val_size: expected 1 to {len(classes) - 1} for {len(classes)} rows, got {val_size}"
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
    """Builds a datamodule from a table and a mask of its validation rows.

    Args:
        inputs: Inputs ``[n, ...]``; sample ids are row numbers.
        classes: Classes ``[n]``.
        is_val: Whether each row is validation data ``[n]``; other rows are labeled set or pool.
        class_names: Names of the classes.
        **arguments: Further arguments of `ActiveLearningDataModule`.
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
