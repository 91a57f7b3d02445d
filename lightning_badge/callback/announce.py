"""Info lines of the callback: the pool before training, the ordering file afterwards."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch import Trainer
from torch import Tensor

from lightning_badge.callback.pool_source import PoolSource
from lightning_badge.callback.schedule import Schedule
from lightning_badge.callback.trainer_checks import is_trial
from lightning_badge.capture.reader import pool_size
from lightning_badge.ordering import Ordering


def announce_pool(
    trainer: Trainer, source: PoolSource, loader: Iterable[Any], schedule: Schedule, path: Path
) -> None:
    """Logs which loader is the pool, its size, when it is ordered, and the path of the file.

    Warns if the pool is the test set: samples that get labeled can no longer test the model.

    Args:
        trainer: The Trainer that trains.
        source: Where the pool comes from.
        loader: Loader of the pool.
        schedule: When the callback orders.
        path: Path of the ordering file.
    """
    n = pool_size(loader)
    size = "of unknown size" if n is None else f"{n:,} samples"
    target = "no file, for this is a fast_dev_run" if is_trial(trainer) else str(path)
    rank_zero_info(
        f"BadgeCallback: the pool is {source.name}, {size}; orders {schedule.moments} into {target}"
    )
    if source.method == "predict_dataloader" and _is_test_set(source.owner, loader):
        rank_zero_warn(
            f"BadgeCallback: {source.name} gives the test set as the pool; samples that are "
            "labeled from it no longer test the model; define pool_dataloader() or pass "
            "BadgeCallback(pool=...)"
        )


def announce_ordering(
    trainer: Trainer, ordering: Ordering, path: Path | None, seconds: Mapping[str, float]
) -> None:
    """Logs what was ordered and the path of the file.

    Args:
        trainer: The Trainer that runs the model.
        ordering: The ordering.
        path: Path of the ordering file.
        seconds: Seconds of capture and ordering, by name.
    """
    facts = ordering.metadata
    target = "no file was written" if is_trial(trainer) else f"written to {path}"
    rank_zero_info(
        f"BadgeCallback: ordered {len(ordering):,} of {facts['n_pool']:,} samples in "
        f"{sum(seconds.values()):.1f} s by the weights of step {facts['global_step']:,}; {target}"
    )


def _is_test_set(owner: Any, loader: Iterable[Any]) -> bool:
    if not callable(getattr(owner, "test_dataloader", None)):
        return False
    try:
        test = owner.test_dataloader()
    except Exception:
        return False  # the test data are not set up in fit, or there are none
    data, other = getattr(loader, "dataset", None), getattr(test, "dataset", None)
    if data is None or other is None:
        return False
    return data is other or _same_items(data, other)


def _same_items(one: Any, other: Any) -> bool:
    """Whether two data sets have the same length and three equal items."""
    try:
        n = len(one)
        if type(one) is not type(other) or len(other) != n or not n:
            return False
        return all(_same(one[position], other[position]) for position in {0, n // 2, n - 1})
    except Exception:
        return False


def _same(one: Any, other: Any) -> bool:
    """Whether the inputs of two items are equal; False if they cannot be compared."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return bool(one) and _same(next(iter(one.values())), next(iter(other.values())))
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return bool(one) and bool(other) and _same(one[0], other[0])
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return isinstance(one, str | bytes) and one == other
