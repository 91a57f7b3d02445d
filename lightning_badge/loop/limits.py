"""Limits that end a run; they may be changed before a run is resumed."""

from dataclasses import dataclass
from numbers import Integral, Real

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge.datamodule.active_learning import ActiveLearningDataModule
from lightning_badge.datamodule.dataset_view import target_of
from lightning_badge.exceptions import LabelError


@dataclass(frozen=True)
class Limits:
    """Ends a run as soon as one limit is reached; None means no limit.

    Attributes:
        max_rounds: Number of rounds, including the last one, which asks for no labels.
        total_labels: Number of labels, including the initial ones.
        target_metric: A value of the run's metric; higher is better.

    Raises:
        MisconfigurationException: A limit is not a positive number of its type.

    Example:
        >>> Limits(total_labels=100).reached(rounds=3, labeled=100, value=0.9)
        'total_labels=100 is reached'
    """

    max_rounds: int | None = None
    total_labels: int | None = None
    target_metric: float | None = None

    def __post_init__(self) -> None:
        _check("max_rounds", self.max_rounds, Integral, "a positive integer")
        _check("total_labels", self.total_labels, Integral, "a positive integer")
        _check("target_metric", self.target_metric, Real, "a positive number")
        for name in ("max_rounds", "total_labels"):
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, int(value))

    def reached(self, *, rounds: int, labeled: int, value: float) -> str | None:
        """Returns a message that names the limit reached; None if the run continues.

        Args:
            rounds: Number of rounds so far.
            labeled: Number of labels so far.
            value: The metric of the last round.
        """
        if self.target_metric is not None and value >= self.target_metric:
            return f"target_metric={self.target_metric} is reached"
        if self.total_labels is not None and labeled >= self.total_labels:
            return f"total_labels={self.total_labels} is reached"
        if self.max_rounds is not None and rounds >= self.max_rounds:
            return f"max_rounds={self.max_rounds} is reached"
        return None

    def remaining_labels(self, labeled: int, pool: int) -> int:
        """Returns how many labels may still be asked for."""
        return pool if self.total_labels is None else min(pool, self.total_labels - labeled)


def check_data(limits: Limits, datamodule: ActiveLearningDataModule) -> None:
    """Checks that a run can begin.

    Raises:
        LabelError: The pool is empty at the start, or samples have no entry for a label.
        MisconfigurationException: A target metric without validation data.
    """
    if limits.target_metric is not None and not datamodule.plans_validation:
        raise MisconfigurationException(
            f"target_metric={limits.target_metric}: the datamodule has no validation data to "
            "measure it on; pass val= to the datamodule, or leave target_metric out"
        )
    if not len(datamodule.pool_ids):
        raise LabelError(
            f"the pool is empty at the start: all {len(datamodule.labeled_ids)} samples are "
            "labeled; begin with fewer initial labels"
        )
    _, item = datamodule.evaluation_items()[0]
    target_of(item, datamodule.target_key)  # without it every answer would be refused


def _check(name: str, value: object, kind: type, expected: str) -> None:
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if value is not None and not (is_number and value > 0):  # type: ignore[operator]
        raise MisconfigurationException(
            f"{name}: expected {expected}, or null for none, got {value!r}"
        )
