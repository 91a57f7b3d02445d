"""The entries of a batch: the one with the sample ids, and those that the model gets.

Tuples, lists, named tuples, dicts and dataclasses have entries; other batches have none.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeAlias

from lightning_badge.exceptions import CaptureError

EntryKey: TypeAlias = int | str


def entry_of(batch: Any, key: EntryKey) -> Any:
    """Returns an entry of a batch.

    Args:
        batch: A batch of the pool.
        key: A key of a dict, a field of a dataclass or named tuple, or a position in a tuple or
            list, from the end where negative.

    Raises:
        CaptureError: The batch has no such entry.

    Example:
        >>> entry_of({"id": [3, 17], "x": [0.1, 0.7]}, "id"), entry_of(([0.1, 0.7], [3, 17]), 1)
        ([3, 17], [3, 17])
    """
    if isinstance(key, str):
        named = named_entries(batch)
        if named is not None and key in named:
            return named[key]
    elif isinstance(batch, tuple | list) and -len(batch) <= key < len(batch):
        return batch[key]
    expected = (
        "a dict, a dataclass or a named tuple with this entry"
        if isinstance(key, str)
        else "a tuple or list with an entry at this position"
    )
    raise CaptureError(
        f"sample_id_key={key!r}: expected each batch to be {expected}, got {_in_words(batch)}"
    )


def named_entries(batch: Any) -> Mapping[str, Any] | None:
    """Returns the entries of a dict, dataclass or named tuple by name; None for any other batch."""
    if isinstance(batch, Mapping):
        return batch
    if dataclasses.is_dataclass(batch) and not isinstance(batch, type):
        return {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return dict(zip(batch._fields, batch, strict=True))
    return None


def model_input(batch: Any, sample_id_key: EntryKey | None = None) -> Any:
    """Returns the part of a batch that is the input of a model's ``forward``.

    Args:
        batch: A batch of the pool.
        sample_id_key: Entry that holds the sample ids.

    Returns:
        The first entry of a tuple or list that does not hold the ids; any other batch unchanged.

    Example:
        >>> model_input(([3, 17], [0.1, 0.7], [0, 1]), sample_id_key=0)
        [0.1, 0.7]
    """
    if not isinstance(batch, tuple | list):
        return batch
    others = entries_but_ids(batch, sample_id_key)
    return others[0] if others else batch


def entries_but_ids(
    batch: tuple[Any, ...] | list[Any], sample_id_key: EntryKey | None = None
) -> list[Any]:
    """Returns the entries of a tuple or list that do not hold the sample ids."""
    fields = getattr(batch, "_fields", ())
    ids: int | None = None
    if isinstance(sample_id_key, int):
        ids = sample_id_key % len(batch) if batch else None
    elif sample_id_key in fields:
        ids = fields.index(sample_id_key)
    return [entry for position, entry in enumerate(batch) if position != ids]


def _in_words(batch: Any) -> str:
    named = named_entries(batch)
    kind = "dict" if isinstance(batch, Mapping) else type(batch).__name__
    if named is not None:
        return f"a {kind} of {', '.join(map(repr, named))}"
    return f"a {kind} of length {len(batch)}" if isinstance(batch, tuple | list) else kind
