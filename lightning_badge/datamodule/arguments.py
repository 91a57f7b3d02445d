"""Checks of what `ActiveLearningDataModule` is given."""

from collections.abc import Iterable, Mapping, Sized
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge.datamodule.dataset_view import MapStyle
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label, as_label
from lightning_badge.sample_ids import SampleId, SampleIds, name_ids


def check_length(name: str, given: Sized, expected: int, of: str = "training samples") -> None:
    """Raises a LabelError if ``given`` is not as long as expected."""
    if len(given) != expected:
        raise LabelError(f"{name}: expected one for each of {expected} {of}, got {len(given)}")


def check_count(name: str, value: object, least: int) -> None:
    """Raises a MisconfigurationException if ``value`` is no integer of ``least`` or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise MisconfigurationException(
            f"{name}: expected an integer of {least} or more, got {value!r}"
        )


def check_none_labeled(labeled: SampleIds) -> None:
    """Raises a LabelError that names the ids, of those given, that are labeled already."""
    if len(labeled):
        raise LabelError(
            f"sample ids {name_ids(labeled.tolist())} are labeled already; pass ids from pool_ids"
        )


def ids_and_labels(
    ids: Iterable[SampleId] | Mapping[SampleId, Any], labels: Iterable[Any] | None
) -> tuple[Iterable[SampleId], Iterable[Any] | None]:
    """Returns ids and labels, given both or a mapping of one to the other."""
    if not isinstance(ids, Mapping):
        return ids, labels
    if labels is not None:
        raise LabelError("label: expected ids and labels, or a mapping alone, got both")
    return list(ids), list(ids.values())


def as_labels(labels: Iterable[Any]) -> list[Label]:
    """Returns labels of any iterable, tensors included."""
    return [as_label(label) for label in (labels.tolist() if hasattr(labels, "tolist") else labels)]


def known_labels(train: MapStyle, labels: Iterable[Any] | None) -> list[Label] | None:
    """Returns the targets of a data set if they are known beforehand, else None."""
    if labels is not None:
        known = as_labels(labels)
        check_length("labels", known, len(train))
        return known
    try:
        known = as_labels(getattr(train, "targets", ()))
    except (TypeError, LabelError):  # ``targets`` of another meaning, say boxes to detect
        return None
    return known if len(known) == len(train) else None
