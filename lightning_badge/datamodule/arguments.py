"""Checks of what `ActiveLearningDataModule` is given."""

from collections.abc import Iterable, Mapping, Sized
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException

from lightning_badge.arguments import flag, function, integer
from lightning_badge.datamodule.dataset_view import MapStyle
from lightning_badge.exceptions import LabelError
from lightning_badge.labels import Label, as_label
from lightning_badge.sample_ids import SampleId, SampleIds, name_ids


def check_length(name: str, given: Sized, expected: int, of: str = "training samples") -> None:
    """Raises a LabelError if ``given`` is not as long as expected."""
    if len(given) != expected:
        raise LabelError(f"{name}: expected one for each of {expected} {of}, got {len(given)}")


def checked_loading(
    batch_size: Any,
    eval_batch_size: Any,
    num_workers: Any,
    pin_memory: Any,
    seed: Any,
    target_key: Any,
    collate_fn: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns arguments as plain values: those of batches, and those of every loader.

    Raises:
        MisconfigurationException: A value is not valid; the message says what was expected.
    """
    error = MisconfigurationException
    batches: dict[str, Any] = {
        "batch_size": integer("batch_size", batch_size, least=1, error=error),
        "eval_batch_size": eval_batch_size,
        "target_key": target_key,
        "seed": integer("seed", seed, error=error),
    }
    if eval_batch_size is not None:
        size = integer("eval_batch_size", eval_batch_size, least=1, error=error)
        batches["eval_batch_size"] = size
    if not isinstance(target_key, str):
        batches["target_key"] = integer("target_key: a name, or", target_key, error=error)
    if collate_fn is not None:
        function("collate_fn", collate_fn, "a function of a list of items", error=error)
    workers = integer("num_workers", num_workers, least=0, error=error)
    pin = flag("pin_memory", pin_memory, error=error)
    return batches, {"num_workers": workers, "pin_memory": pin}


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
