"""Checks of labels that are given, and of those that the data have, before they count."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.fabric.utilities import rank_zero_warn

from lightning_badge.capture.isolation import untouched_random_state
from lightning_badge.datamodule.arguments import as_labels, check_length
from lightning_badge.datamodule.dataset_view import MapStyle, target_of, with_target
from lightning_badge.datamodule.placeholder import is_placeholder, no_label
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label
from lightning_badge.sample_ids import SampleIds


@dataclass(frozen=True, eq=False)
class TargetChecks:
    """Checks whether samples can be labeled.

    Attributes:
        data: The data set.
        ids: Ids of its samples, ``[n]``.
        key: Entry of the target in an item.
        known: The target of each sample, ``[n]``; None if only the items have them.
        class_names: Names of the classes; None if their number is not known.
    """

    data: MapStyle
    ids: SampleIds
    key: int | str
    known: Sequence[Label] | None
    class_names: Sequence[str] | None

    def usable(self, labels: Iterable[Any] | None, positions: Sequence[int]) -> list[Label]:
        """Returns labels that are given for samples as plain values; none if they have their own.

        Args:
            labels: One for each sample; None for those that the data set has.
            positions: The samples.

        Raises:
            LabelError: Another number of labels, a label of no class, or one that cannot take the
                place of a target; without labels, a sample that has none.
        """
        if labels is None:
            self._check_own(positions)
            return []
        given = as_labels(labels)
        check_length("labels", given, len(positions), "ids")
        for label in given:
            _check_class(label, self.class_names)
        if positions:
            item = self._item(positions[0])
            for label in given:
                with_target(item, self.key, label)
        return given

    def first(self, positions: Sequence[int]) -> None:
        """Looks at one sample when the data are made, to find out whether it has a target.

        Without labels a missing entry is a warning, because such a pool can be ordered.

        Args:
            positions: The samples that begin with the labels that the data set has.

        Raises:
            LabelError: It has none, or a placeholder in its place.
        """
        try:
            target_of(self._item(positions[0] if positions else 0), self.key)
        except LabelError as error:
            if positions:
                raise
            rank_zero_warn(f"{error}; until then no sample can be labeled")
        self._check_own(positions if self.known is not None else positions[:1])

    def _check_own(self, positions: Sequence[int]) -> None:
        """Checks that the data set has labels of samples; loads them unless all are known."""
        if self.known is not None:
            targets = [self.known[position] for position in positions]
        else:
            with untouched_random_state():  # augmentation draws from it
                targets = [target_of(self.data[position], self.key) for position in positions]
        if missing := [row for row, target in enumerate(targets) if is_placeholder(target)]:
            ids = self.ids[[positions[row] for row in missing]].tolist()
            raise no_label(ids, self.key, targets[missing[0]])

    def _item(self, position: int) -> Any:
        with untouched_random_state():
            return self.data[position]


def _check_class(label: Label, class_names: Sequence[str] | None) -> None:
    """Raises if a number, or one number for each class, is none that a class has."""
    n = len(class_names or ())
    if isinstance(label, list):
        is_each = n and len(label) == n and all(isinstance(has, int | float) for has in label)
        if is_each and not all(0 <= has <= 1 for has in label):
            raise LabelError(f"label {label!r}: expected 0 or 1 for each of {n} classes")
    elif isinstance(label, int | float) and n and not 0 <= label < n:
        raise LabelError(
            f"label {label!r}: expected a class from 0 to {n - 1}, its place in class_names"
        )
    elif isinstance(label, int) and label < 0:
        raise LabelError(
            f"label {label!r}: expected a class from 0 on; leave out samples without a label, and "
            "discard(ids) those that nobody can label"
        )
